"""What each rule of the workflow does, a module a stage; the scripts only unpack names.

A module imports what its stage needs and no more, since every job pays for its imports.
"""
