"""Tables on stdout."""


def print_table(rows):
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        print("  ".join(cells).rstrip())
    print(flush=True)


def print_markdown(rows):
    head, *others = rows
    for row in [head, ["---"] * len(head), *others]:
        print("| " + " | ".join(row) + " |")
    print(flush=True)
