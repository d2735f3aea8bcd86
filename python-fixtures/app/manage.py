#!/usr/bin/env python
"""The Django shop of the interop tests and the demo: an ordinary project that knows nothing of Node."""
import os
import sys

if __name__ == '__main__':
    os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
