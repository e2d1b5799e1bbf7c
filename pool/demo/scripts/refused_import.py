import json
import subprocess

return json.loads(subprocess.run(["cat", "/etc/passwd"], capture_output=True).stdout)
