"""Import: one body or a million lines become rows, each upstream account once.

items: one body, checked · lines: files into bodies · upsert: items into rows · bulk: lines into a report
"""
