#!/usr/bin/env bash
# Makes the virtual environment: bash tools/setup.sh FOLDER
set -euo pipefail
venv=$1

find_python() {
    local candidate
    for candidate in python3.11 python3.12 python3.10 python3; do
        # A name on the PATH is not enough: it may be a shim, or lack venv, or be a version without wheels.
        if "$candidate" -c 'import sys, venv, ensurepip; assert (3, 10) <= sys.version_info < (3, 13)' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "visavis needs Python 3.10 to 3.12 with venv: apt-get install python3 python3-venv" >&2
    exit 1
}

# OpenCV's and MediaPipe's wheels link to a few system libraries that slim images lack.
install_system_libraries() {
    local packages=(libgl1 libegl1 libgles2 libglib2.0-0)
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && apt-get install -y -qq --no-install-recommends "${packages[@]}"
    else
        echo "OpenCV or MediaPipe lacks system libraries: sudo apt-get install ${packages[*]}" >&2
        exit 1
    fi
}

if ! find_python >/dev/null 2>&1 && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && apt-get install -y -qq --no-install-recommends python3 python3-venv
fi
python=$(find_python)
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip=("$venv/bin/python" -m pip --disable-pip-version-check install -q)

if ! "$venv/bin/python" -c 'import torch' 2>/dev/null; then
    # Without a GPU, the CPU build saves gigabytes where the index has one.
    if command -v nvidia-smi >/dev/null || ! "${pip[@]}" 'torch==2.13.0+cpu' 2>/dev/null; then
        "${pip[@]}" 'torch==2.13.0'
    fi
fi
"${pip[@]}" -e '.[dev,train]'
"$venv/bin/python" -c 'import cv2, mediapipe' 2>/dev/null || install_system_libraries
