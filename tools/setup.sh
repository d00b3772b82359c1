#!/usr/bin/env bash
# Makes the virtual environment, and says what it is doing: bash tools/setup.sh FOLDER
set -euo pipefail
venv=$1
began=$SECONDS
least_free_mb=6000

say() {
    echo "setup: $*"
}

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
        say "system libraries for OpenCV and MediaPipe: ${packages[*]}"
        apt-get update -qq && apt-get install -y -qq --no-install-recommends "${packages[@]}"
    else
        echo "OpenCV or MediaPipe lacks system libraries: sudo apt-get install ${packages[*]}" >&2
        exit 1
    fi
}

# Says what pip downloads, with sizes, instead of minutes of silence; pip's own status counts.
install() {
    "$venv/bin/python" -m pip --disable-pip-version-check install --progress-bar off "$@" 2>&1 | sed -u -n -E '
        s/^ *(Downloading|Using cached|Building|ERROR|error)/setup:   \1/p
        s/^Installing collected packages.*/setup:   unpacking and installing .../p
        s/^Successfully installed.*/setup:   installed/p'
}

if ! find_python >/dev/null 2>&1 && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "Python from the system's packages"
    apt-get update -qq && apt-get install -y -qq --no-install-recommends python3 python3-venv
fi
python=$(find_python)
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"

say "an environment with PyTorch and MediaPipe in $venv, once: about 1 GB to download and 2.7 GB on disk (several GB"
say "more with a CUDA build of PyTorch); 4 minutes on a fast line"
free_mb=$(df -Pm "$venv" | awk 'NR == 2 { print $4 }')
[ "${free_mb:-0}" -ge "$least_free_mb" ] || say "only ${free_mb} MB are free here; this may not be enough"

if ! "$venv/bin/python" -c 'import torch' 2>/dev/null; then
    # Without a GPU, the CPU build saves gigabytes where the index has one.
    say "1 of 3: PyTorch"
    if command -v nvidia-smi >/dev/null || ! install 'torch==2.13.0+cpu' | sed -u '/ERROR/d'; then
        install 'torch==2.13.0'
    fi
fi
say "2 of 3: MediaPipe, media libraries, and what tests need"
install -e '.[dev,train,fast,onnx]'
say "3 of 3: looking whether OpenCV and MediaPipe load"
"$venv/bin/python" -c 'import cv2, mediapipe' 2>/dev/null || install_system_libraries
say "done in $((SECONDS - began)) s; $(du -sm "$venv" | cut -f1) MB"
