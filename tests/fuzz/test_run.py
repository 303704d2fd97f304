from __future__ import annotations

from pathlib import Path

from fuzz.run import Outcome, read_log, table

LOG = """fuzzing chunks of /x/weir/plane
INFO: Loaded 31 modules   (64339 inline 8-bit counters): 3298 [0x7f, 0x80), 2752 [0x81, 0x82),
INFO: Loaded 31 PC tables (64339 PCs): 3298 [0x7f,0x80),
#890\tINITED cov: 288 ft: 1147 corp: 330/62Kb exec/s: 0 rss: 299Mb
#2048\tpulse  cov: 290 ft: 1150 corp: 331/62Kb lim: 4096 exec/s: 1024 rss: 300Mb
#2063\tNEW    cov: 291 ft: 1151 corp: 332/62Kb lim: 4096 exec/s: 1031 rss: 300Mb L: 9/4014 MS: 1 EraseBytes-
"""


def test_what_libfuzzer_says() -> None:
    assert read_log(LOG) == (2063, 291, 64339, 1151, 332)
    assert read_log(LOG + "stat::number_of_executed_units: 2070\n") == (2070, 291, 64339, 1151, 332)


def test_a_build_without_counters_is_seen() -> None:
    assert read_log("INFO: No counters\n#2\tINITED cov: 0 ft: 0 corp: 1/1b exec/s: 0 rss: 1Mb\n")[2] == 0
    assert read_log("") == (0, 0, 0, 0, 0)


def test_table() -> None:
    crash = Path("fuzz/crashes/chunks/crash-1")
    lines = table([Outcome("chunks", 60, 50.0, 2000, 291, 64339, 1151, 332, (crash,), True)]).splitlines()
    names = lines[0].replace("cpu s", "cpu").split()
    assert names == [
        "target",
        "seconds",
        "cpu",
        "executions",
        "exec/cpu",
        "edges",
        "of",
        "features",
        "inputs",
        "crashes",
    ]
    assert lines[1].split() == ["chunks", "60", "50", "2000", "40", "291", "64339", "1151", "332", "1"]
