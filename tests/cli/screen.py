# SPDX-License-Identifier: MIT
"""What a terminal shows after some output: as much of one as the program uses."""
import re

PARTS = re.compile(r"\x1b\[(\d*)([A-Za-z])|(.)", re.S)


class Screen:
    def __init__(self, rows=24, columns=80):
        self.rows = rows
        self.columns = columns
        self.lines = [""]  # with what was scrolled away
        self.row = self.column = 0

    def feed(self, text):
        for number, command, char in PARTS.findall(text):
            if command:
                self.command(int(number or 1), number, command)
            elif char == "\r":
                self.column = 0
            elif char == "\n":
                self.down()
            elif ord(char) < 32:
                raise AssertionError("control character %r" % char)
            else:
                self.put(char)
        return self

    def down(self):
        self.row += 1
        if self.row == len(self.lines):
            self.lines.append("")

    def put(self, char):
        if self.column == self.columns:
            self.column = 0
            self.down()
        line = self.lines[self.row].ljust(self.column)
        self.lines[self.row] = line[:self.column] + char + line[self.column + 1:]
        self.column += 1

    def command(self, count, number, command):
        if command == "A":
            self.row = max(self.row - count, len(self.lines) - self.rows, 0)
        elif command in "KJ" and not number:
            self.lines[self.row] = self.lines[self.row][:self.column]
            if command == "J":
                del self.lines[self.row + 1:]
        elif command != "m":
            raise AssertionError("unknown command ESC[%s%s" % (number, command))
