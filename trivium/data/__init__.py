"""The path of text, in the order it is walked.

documents, embedded    the unit of text; the documentation on this machine as documents
sources                the parts of the sources, with their hashes
readers, licences      files, folders, archives and tables become documents; under which licence
cleaning, boilerplate  what no reader sees, and what is furniture of a page, goes
quality, privacy       rules and models that judge a text; personal data and secrets are taken out
refine, funnel         all of these for one document; what each of them removed
dedup, splits          what was said before goes; whole modules or files are held out, with all that nearly repeats them
pieces                 the two sides of the split, as texts to encode
balance, mixtures      counts and weights; how often each source is read
tasks, worker, pool    the work on a part of the sources, in processes of its own; ray_pool on several machines
spool, work_folder     what stands between two steps, so that a killed preparation goes on
decide                 what can only be decided over the whole corpus
provenance, forget     where prepared data comes from; a document that has to go
examples               records of instructions and conversations, and which of their tokens are trained on
shards, prepared       token ids on disk, memory-mapped and checked
packing, order         rows of fixed width, and the order they come in
sampler, evaluation    batches to train on, endless and resumable; batches that score a text once
batches                the shapes that objectives consume
"""
