# SPDX-License-Identifier: MIT
"""
messages.py MANPAGE SOURCE...: prints what the man page's section DIAGNOSTICS quotes and no string
of the sources has. "..." stands for anything; any other word for itself or for a conversion (%s).
"""
import re
import sys


def words(text):
    return [word.strip(".,;:()") or word for word in text.split()]


def quoted(page):
    """The first lines of the section's entries."""
    section = re.search(r"(?ms)^\.SH DIAGNOSTICS\n(.*?)^\.SH ", page).group(1)
    return [line.replace("\\-", "-") for line in re.findall(r"(?m)^\.TP\n\.B (.*)$", section)]


def strings(source):
    """The words of its string literals; adjacent ones are one, a macro between them is a conversion."""
    source = re.sub(r"/\*.*?\*/", " ", source, flags=re.S)
    source = re.sub(r'"\s+[A-Z_]+\s+"', "%s", source)
    source = re.sub(r'"\s*"', "", source)
    return [words(text) for text in re.findall(r'"((?:[^"\\\n]|\\.)*)"', source)]


def occurs(part, text):
    for start in range(len(text) - len(part) + 1):
        pairs = list(zip(part, text[start:]))
        literal = sum(a == b for a, b in pairs)
        if literal * 2 >= len(part) and all(a == b or "%" in b for a, b in pairs):
            return True
    return False


def main():
    with open(sys.argv[1], encoding="utf-8") as page:
        messages = quoted(page.read())
    texts = []
    for name in sys.argv[2:]:
        with open(name, encoding="utf-8") as source:
            texts += strings(source.read())
    if len(messages) < 2:
        print("DIAGNOSTICS quotes nothing")
    for message in messages:
        for part in message.split("..."):
            if words(part) and not any(occurs(words(part), text) for text in texts):
                print(f"{message}: no message has \"{part.strip()}\"")


main()
