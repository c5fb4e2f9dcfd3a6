"""What was said before: found and removed, as whole documents, near-copies, paragraphs and passages.

exact          equal documents, up to case and white space
shingles       words and runs of words as numbers, for minhash and for splits
minhash, lsh   signatures of documents; the clusters of those that nearly agree
clusters       which belong together, from which pairs do
paragraphs     paragraphs, lines or spans of sentences said before, or on too many pages
substrings     passages said before, character for character
"""
