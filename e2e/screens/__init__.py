"""Pictures of the screens: all of them on a sheet (`scripts/screens`), and the key ones beside the parent commit's."""
