# What `traincheck doctor` asks an interpreter, without the agent. Runs on any Python, 2.7 included; imports nothing of
# the user's.
import json
import platform
import sys
import sysconfig

torch = ""
try:
    from importlib import metadata, util

    found = util.find_spec("torch")
    if found is not None and found.origin:
        torch = "unknown"
        torch = metadata.version("torch")
except Exception:
    pass
print(
    json.dumps(
        {
            "implementation": platform.python_implementation(),
            "version": platform.python_version(),
            "executable": sys.executable or "",
            "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
            "torch": torch,
        }
    )
)
