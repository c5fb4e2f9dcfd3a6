"""The path of text, in the order it is walked.

documents, embedded    files, folders and the documentation on this machine become documents
cleaning, dedup        what no reader sees and what was said before goes
splits                 whole modules or files are held out, and what they share with training is removed
shards, prepared       token ids on disk, memory-mapped and checked
packing, order         rows of fixed width, and the order they come in
sampler, evaluation    batches to train on, endless and resumable; batches that score a text once
batches                the shapes that objectives consume
"""
