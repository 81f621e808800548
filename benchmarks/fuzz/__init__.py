"""What ``benchmarks/fix_fuzz.py`` is made of; read ``rules.py`` first.

``messages.py`` makes messages and spoils them, ``script.py`` turns bytes into a session's story and plays
it, ``rules.py`` judges, ``guided.py`` lets coverage choose the bytes.
"""
