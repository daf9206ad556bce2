"""The drill's probe: sees each optimizer step of a training from inside, and writes down what it saw.

Stands beside `sitecustomize` in a folder of its own, so that any Python can import it without nightspot. Standard library only, Python
3.10; torch (2.3 and newer), torchdata and numpy are used where the training has imported them. It changes no number and draws
no random one; where it fails, it says so once (`fault`) and looks away.

| variable | what it holds |
|---|---|
| `NIGHTSPOT_PROBE` | file to append JSON lines to; without it nothing happens |
| `NIGHTSPOT_PROBE_HOLD` | wait after this many optimizer steps of the process (from 1); several with commas |
| `NIGHTSPOT_PROBE_RELEASE` | the waiting ends when this path comes to exist, or this path, a dot and the number of steps |
| `NIGHTSPOT_PROBE_STAYS` | the probe's folder stays on `sys.path`: for a launcher that makes its program's PYTHONPATH of that |
| `NIGHTSPOT_PROBE_PATHS` | folders, parted by `os.pathsep`: opening and renaming files in there is told as touches |

| `kind` | further fields |
|---|---|
| `torch` | `version`, `pid`: the training imported torch |
| `step` | `index` (from 0), `loss`, `batch`, `lrs`, `before`, `after`, `optimizer`, `random`: see `nightspot.drill.record.Step` |
| `touch` | `what`, `index` (steps done until then), `path`, `where` (file:line of the user's code), `detail` |
| `held` | `index`: so many steps are done, and the process waits |
| `released` | `index`: and goes on |
| `fault` | `detail`: the probe has stopped looking |
"""
