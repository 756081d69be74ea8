# SPDX-License-Identifier: Apache-2.0
# Makes of a page below docs/, or of one of its sections, the Markdown of a manual page: headings moved
# up, links without their targets, and tables as lists of terms, because a terminal is narrow.
#
#   awk -v name=leafgate -v summary=TEXT -v see=TEXT [-v section=HEADING] -f manual.awk PAGE.md

BEGIN {
  print "# NAME\n\n" name " - " summary "\n\n# DESCRIPTION\n"
  wanted = section == ""
  # The page's title, and the section's own heading, are not part of the manual page.
  up = section == "" ? 1 : 2
}

/^```/ { code = !code }

!code && section != "" && /^## / { wanted = $0 == "## " section; next }

!wanted || (!code && /^# /) { next }

!code && /^\|/ { table_row(); next }

!code {
  in_table = 0
  $0 = without_links($0)
  if (/^##/) $0 = substr($0, 1 + up)
  if (/^# /) $0 = toupper($0)
}

{ print }

END { print "\n# SEE ALSO\n\n" see }

# A row as a term and what it means: the first cell, with those in the middle, and the last.
function table_row(   fields, cell, term, i) {
  fields = split($0, cell, / *\| */)
  if (!in_table) {
    in_table = 1
    split($0, title, / *\| */)
  } else if ($0 !~ /^\|-/) {
    term = cell[2]
    for (i = 3; i < fields - 1; i++) term = term " (" title[i] ": " cell[i] ")"
    print without_links(term) "\n\n: " without_links(cell[fields - 1]) "\n"
  }
}

function without_links(text,   words) {
  while (match(text, /\[[^][]*\]\([^)]*\)/)) {
    words = substr(text, RSTART + 1, RLENGTH - 1)
    sub(/\]\(.*/, "", words)
    text = substr(text, 1, RSTART - 1) words substr(text, RSTART + RLENGTH)
  }
  return text
}
