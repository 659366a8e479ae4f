"""What ``setup.cfg`` cannot say: the fast lane is compiled where that is possible.

``dove_ryu/southbound/lane.py`` is Python and stays importable as such; what Cython makes of it becomes its twin, the module
``_lane``.  Where there is no C compiler the build says so and goes on: the twin is optional, and all works without it.
"""

from setuptools import Extension, setup

try:
    from Cython.Build import cythonize
except ImportError:  # nobody was asked to build: this file is only read
    extensions = []
else:
    extensions = cythonize(
        [
            Extension(
                "dove_ryu.southbound._lane",
                ["dove_ryu/southbound/lane.py"],
                depends=["dove_ryu/southbound/lane_memory.pxd", "dove_ryu/southbound/lane_blocks.h"],
                include_dirs=["dove_ryu/southbound"],
                optional=True,
                extra_compile_args=["-O2"],
            )
        ],
        compiler_directives={"language_level": 3, "boundscheck": False, "wraparound": False},
        build_dir="build",
    )

setup(ext_modules=extensions)
