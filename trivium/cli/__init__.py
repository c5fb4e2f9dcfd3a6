"""The command line: one static table of verbs in `main`, and a module for what each verb does."""
