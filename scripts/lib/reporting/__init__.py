"""What the reports of `./dev experiment` and `./dev load` share.

plot      line charts as inline SVG
page      tables, numbers for people, and the frame of a page (page.html)
rows      tables as CSV files
k6        what k6 counts each second
counters  counters of a process, as its samples have them
origin    the commit and the machine
"""
