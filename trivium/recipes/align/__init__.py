"""What makes a model answer as people want: ranked answers, reward models, policies, a constitution."""
