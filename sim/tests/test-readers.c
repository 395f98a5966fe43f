/* SPDX-License-Identifier: MIT */
/*
 * Readers, one after another: what each makes of a short text that has the format's quirks, of damaged files, of every
 * beginning of a good one, and of recordings. Of the same run in several formats the requests must be the same.
 */
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "sim/core/error.h"
#include "sim/tests/sample.h"
#include "sim/tests/steps.h"
#include "sim/trace/names.h"

/* ---- short texts ---- */

struct reading {
	const char *name; /* FORMAT/CASE */
	struct trace_options options;
	const char *text;
	const char *steps;
};

static const struct reading readings[] = {
	{"blkparse/actions-without-a-request", {0},
	 "  8,0    3        1     1.000000000   697  Q   W 8 + 8 [a ] b]\n"
	 "  8,0    3        2     1.000001000   697  P   N [x]\n"
	 "  8,0    3        3     1.000002000   697  U   N [x] 1\n"
	 "  8,0    3        4     1.000003000   697 UT   N [x] 1\n"
	 "  8,0    3        5     1.000004000   697  X   W 8 / 12 [x]\n"
	 "  8,0    3        6     1.000005000   697  A   W 8 + 8 <- (8,1) 0\n"
	 "  8,0    3        0     1.000006000     0  m   N cfq697S dispatch\n"
	 "\n"
	 "  8,0    3        7     1.000007000   697  D   W 8 + 8 [a ] b]\n"
	 "  8,0    1        1     1.000009000     0  C   W 8 + 8 [-5]\n",
	 "issue 1 us=7 cpu=3 8,0 write 8+4096\n"
	 "done 1 us=9 cpu=1 error=-5\n"},
	{"blkparse/operations-by-their-letters", {0},
	 "8,0 0 1 0.000000000 1 D FN [kworker/0:0H]\n"
	 "8,0 0 2 0.000001000 1 C FN 0 [0]\n"
	 "8,0 0 3 0.000002000 1 D FWFSM 16 + 8 [x]\n"
	 "8,0 0 4 0.000003000 1 D DS 64 + 64 [x]\n"
	 "8,0 0 5 0.000004000 1 D RA 96 + 8 (  1234) [x]\n"
	 "8,0 0 6 0.000005000 1 C RA 96 + 8 (  5678) [0]\n"
	 "8,0 0 7 0.000006000 1 C WS 0 [0]\n",
	 "issue 1 us=0 cpu=0 8,0 flush 0+0\n"
	 "done 1 us=1 cpu=0\n"
	 "issue 2 us=2 cpu=0 8,0 write 16+4096\n"
	 "issue 3 us=3 cpu=0 8,0 discard 64+32768\n"
	 "issue 4 us=4 cpu=0 8,0 read 96+4096\n"
	 "done 4 us=5 cpu=0\n"},
	{"blkparse/passthrough-names-bytes", {0},
	 "8,0 0 1 0.000000000 1 D R 36 (12 01 00 00) [sg_inq]\n"
	 "8,0 0 2 0.000001000 1 D N 0 [x]\n"
	 "8,0 0 3 0.000002000 1 C R (12 01 00 00) [0]\n"
	 "8,0 0 4 0.000003000 1 C N [-5]\n",
	 "issue 1 us=0 cpu=0 8,0 passthrough 0+36\n"
	 "issue 2 us=1 cpu=0 8,0 passthrough 0+0\n"
	 "done 1 us=2 cpu=0\n"
	 "done 2 us=3 cpu=0 error=-5\n"},
	{"blkparse/completion-of-nobody-and-issue-without-end", {0},
	 "8,0 0 1 0.000000000 1 C R 8 + 8 [0]\n"
	 "8,0 0 2 0.000001000 1 D W 16 + 8 [x]\n"
	 "8,0 0 3 0.000002000 1 C W 24 + 8 [0]\n",
	 "issue 1 us=1 cpu=0 8,0 write 16+4096\n"},
	{"blkparse/summary-is-no-event", {0},
	 "8,0 0 1 0.000000000 1 D W 0 + 8 [x]\n"
	 "8,0 0 2 0.000001000 1 C W 0 + 8 [0]\n"
	 "CPU0 (t):\n Reads Queued:           0,        0KiB\t Writes Queued:           1,        4KiB\n\n"
	 "Throughput (R/W): 0KiB/s / 4KiB/s\nEvents (t): 2 entries\nSkips: 1 forward (1,234 -   0.5%)\n",
	 "issue 1 us=0 cpu=0 8,0 write 0+4096\n"
	 "done 1 us=1 cpu=0\n"},
	{"blkparse/files-it-read-are-no-events", {0},
	 "Input file a.blktrace.0 added\nInput file a b.blktrace.1 added\n"
	 "8,0 0 1 0.000000000 1 D W 0 + 8 [x]\n"
	 "8,0 0 2 0.000001000 1 C W 0 + 8 [0]\n"
	 "Input file a.blktrace.2 added\n",
	 "issue 1 us=0 cpu=0 8,0 write 0+4096\n"
	 "done 1 us=1 cpu=0\n"},
	{"blkparse/any-format", {.blkparse_format = "%5T.%9t|%C|%-3a/%M:%m %3d @%10S*%n cpu%c %e\\n"},
	 "    1.000000000|a | b]|D  /259:1   W @        16*8 cpu3 0\n"
	 "    1.000005000||C  /259:1   W @        16*8 cpu2 -5\n",
	 "issue 1 us=0 cpu=3 259,1 write 16+4096\n"
	 "done 1 us=5 cpu=2 error=-5\n"},
	{"blkparse/any-format-in-bytes", {.blkparse_format = "%D %a %d %S %N %T %t"},
	 "  8,16 D R 16 4608 7 9000\n",
	 "issue 1 us=0 cpu=0 8,16 read 16+4608\n"},

	{"blk/actions-of-the-tracer", {0},
	 "# tracer: blk\n#\n"
	 "          a b-1 [c]-16    [001] d..1.     1.000000:   7,0    Q  WS 8 + 8 [x]\n"
	 "             fio-16    [001] d..1.     1.000000:   7,0    P   N [x]\n"
	 "             fio-16    [001] d..1.     1.000000:   7,0   UT   N [x] 1\n"
	 "             fio-16    [001] d..1.     1.000000:   7,0    m   N cfq16S served\n"
	 "CPU:1 [LOST 3 EVENTS]\n"
	 "             fio-16    [001] d..1.     1.000002:   7,0    D  WS 8 + 8 [a ] b]\n"
	 "             fio-16    [001] .....     1.000003: tracing_mark_write: free\ntext\n"
	 "     ksoftirqd/0-14    [000] d.s1.     1.000004:   7,0    C  WS 8 + 8 [-5]\n"
	 "             fio-16    [001] d..1.     1.000005:   7,0    D  FN [x]\n"
	 "             fio-16    [001] d..1.     1.000006:   7,0    D   R 36 (12 00) [x]\n",
	 "issue 1 us=2 cpu=1 7,0 write 8+4096\n"
	 "done 1 us=4 cpu=0 error=-5\n"
	 "issue 2 us=5 cpu=1 7,0 flush 0+0\n"
	 "issue 3 us=6 cpu=1 7,0 passthrough 0+36\n"},
	{"blk/without-its-header", {0},
	 "             fio-16    [001]     1.000002:   7,0    D   R 8 + 8 [x]\n",
	 "issue 1 us=0 cpu=1 7,0 read 8+4096\n"},
	{"perf/names-priorities-and-chains", {0},
	 "# ========\n# captured on: x\n\n"
	 " a [0] b-c/d    14 [003]     1.000001:    block:block_rq_issue: 7,0 R 512 () 1 + 1 0x2,0,4 [x]\n"
	 "\tffffffff8109c3b1 schedule+0x11 ([kernel.kallsyms])\n"
	 "            7f00 [unknown] (/usr/bin/fio)\n\n"
	 "swapper     0/0 [002]     1.000002123:          1 block:block_rq_complete: 7,0 R () 1 + 1 0x2,0,4 [-5]\n"
	 "            fio 7 [001]     1.000003: cycles:u: \n"
	 "            fio 7 [001]     1.000004:     probe:link: (ffffffff81) st=0x1 phys=0x1000 off=0 size=512 dir=2\n"
	 "            fio 7 [001]     1.000004: nvme:nvme_setup_cmd: [FAILED TO PARSE] ctrl_id=0 qid=1 cid=7\n"
	 "            fio 7 [001]     1.000005: block:block_rq_issue: 7,0 R 512 () 2 + 1 [x]\n",
	 "issue 1 us=0 cpu=3 7,0 read 1+512\n"
	 "done 1 us=1 cpu=2 error=-5\n"
	 "issue 2 us=4 cpu=1 7,0 read 2+512 < 1000+512\n"},
	{"perf/commands-as-raw-fields", {0},
	 "fio 7 [001] 1.000000: nvme:nvme_setup_cmd: [FAILED TO PARSE] disk=nvme0n1 ctrl_id=0 qid=2 opcode=2 flags=0 fctype=0 cid=7 "
	 "nsid=1 metadata=0 cdw10=ARRAY[08, 00, 00, 00, 00, 00, 00, 00, 07, 00, 00, 00, 00, 00, 00, 00, 00, 00, 00, 00, 00, 00, 00, "
	 "00]\n"
	 "fio 7 [001] 1.000001: block:block_rq_issue: 259,0 R 4096 () 8 + 8 0x2,0,4 [x]\n",
	 "issue 1 us=1 cpu=1 259,0 read 8+4096 q=2/7\n"},
	/* What trace-cmd report prints of NVMe's events: it does not know the functions in their format. */
	{"ftrace/commands-as-raw-fields", {0},
	 "cpus=2\n"
	 "   kworker/u20:2-56    [000]     1.000000: nvme_sq:              [FAILED TO PARSE] ctrl_id=0 disk= qid=0 sq_head=1 sq_tail=1\n"
	 "             fio-119   [001]     1.000000: nvme_setup_cmd:       [FAILED TO PARSE] disk=nvme0n1 ctrl_id=0 qid=2 opcode=1 "
	 "flags=0 fctype=0 cid=4103 nsid=1 metadata=0 cdw10=ARRAY[02, 01, 00, 00, 00, 00, 00, 00, 00, 01, 00, 00, 00, 00, 00, 00, 00, "
	 "00, 00, 00, 00, 00, 00, 00]\n"
	 "             fio-119   [001]     1.000001: link:                 (ffffffff816573e0) st=0xff phys=0x1000 off=0 size=131584 dir=1\n"
	 "             fio-119   [001]     1.000002: block_rq_issue:       259,0 W 131584 () 258 + 257 0x2,0,4 [fio]\n"
	 "          <idle>-0     [000]     1.000004: nvme_complete_rq:     [FAILED TO PARSE] disk=nvme0n1 ctrl_id=0 qid=2 cid=4103 "
	 "result=0 retries=0 flags=0 status=641\n"
	 "          <idle>-0     [000]     1.000005: block_rq_issue:       259,0 R 512 () 0 + 1 0x0,0,0 [fio]\n",
	 "issue 1 us=2 cpu=1 259,0 write 258+131584 q=2/4103 > 1000+131584\n"
	 "done 1 us=4 cpu=0 error=641\n"
	 "issue 2 us=5 cpu=0 259,0 read 0+512\n"},
	{"ftrace/old-kernels-have-no-bytes", {0},
	 " f-1 [000] d... 1.000000: block_rq_issue: 202,1 W 0 () 128 + 8 [x]\n"
	 " f-1 [000] d... 1.000001: block_rq_issue: 202,1 FF 0 () 0 + 0 [x]\n"
	 " f-1 [000] d... 1.000002: block_rq_issue: 202,1 N 36 () 0 + 0 [x]\n"
	 " f-1 [000] d... 1.000003: block_rq_complete: 202,1 W () 128 + 8 [0]\n",
	 "issue 1 us=0 cpu=0 202,1 write 128+4096\n"
	 "issue 2 us=1 cpu=0 202,1 flush 0+0\n"
	 "issue 3 us=2 cpu=0 202,1 passthrough 0+36\n"
	 "done 1 us=3 cpu=0\n"},
	/* Fields that are missing, or are no fields of a command: not used. */
	{"ftrace/raw-fields-that-are-not-all-there", {0},
	 " f-1 [000] 1.000000: nvme_setup_cmd: [FAILED TO PARSE] ctrl_id=0 qid=2 opcode=1 cid=7 cdw10=ARRAY[00, 00]\n"
	 " f-1 [000] 1.000000: nvme_setup_cmd: [FAILED TO PARSE] ctrl_id=0 qid=2 opcode=256 cid=7 cdw10=ARRAY[00, 00]\n"
	 " f-1 [000] 1.000000: nvme_complete_rq: [FAILED TO PARSE] ctrl_id=0 qid=65535 cid=7 status=0\n"
	 " f-1 [000] 1.000000: block_rq_complete: [FAILED TO PARSE] dev=1\n"
	 " f-1 [000] 1.000001: block_rq_issue: 259,0 W 512 () 0 + 1 [x]\n",
	 "issue 1 us=1 cpu=0 259,0 write 0+512\n"},
	{"fio/version-3-in-microseconds", {0},
	 "fio version 3 iolog\n5 /dev/a add\n7 /dev/a open\n9 /dev/a write 4096 8192\n9 /dev/b read 0 512\n"
	 "20 /dev/a sync 0 0\n21 /dev/a datasync\n30 /dev/a trim 512 1024\n31 /dev/a close\n",
	 "issue 1 us=4 cpu=0 /dev/a write 8+8192\n"
	 "issue 2 us=4 cpu=0 /dev/b read 0+512\n"
	 "issue 3 us=15 cpu=0 /dev/a flush 0+0\n"
	 "issue 4 us=16 cpu=0 /dev/a flush 0+0\n"
	 "issue 5 us=25 cpu=0 /dev/a discard 1+1024\n"},
	{"fio/version-2-waits", {0},
	 "fio version 2 iolog\n/dev/a add\n/dev/a wait 7\n/dev/a read 0 512\n/dev/b write 0 512\n/dev/b wait 5\n/dev/a read 512 512\n",
	 "issue 1 us=7 cpu=0 /dev/a read 0+512\n"
	 "issue 2 us=7 cpu=0 /dev/b write 0+512\n"
	 "issue 3 us=12 cpu=0 /dev/a read 1+512\n"},
	{"fio/several-writers-put-in-order", {0},
	 "fio version 3 iolog\n10 /dev/a read 0 512\n30 /dev/a read 512 512\nfio version 3 iolog\n20 /dev/a read 1024 512\n"
	 "40 /dev/a read 1536 512\n41 /dev/a read 1536 512\n42 /dev/a read 1536 512\n43 /dev/a read 1536 512\n\n"
	 "44 /dev/a add\n44 /dev/a close\n44 /dev/a reafio version 3 iolog\n",
	 "issue 1 us=0 cpu=0 /dev/a read 0+512\n"
	 "issue 2 us=10 cpu=0 /dev/a read 2+512\n"
	 "issue 3 us=20 cpu=0 /dev/a read 1+512\n"
	 "issue 4 us=30 cpu=0 /dev/a read 3+512\n"
	 "issue 5 us=31 cpu=0 /dev/a read 3+512\n"
	 "issue 6 us=32 cpu=0 /dev/a read 3+512\n"
	 "issue 7 us=33 cpu=0 /dev/a read 3+512\n"},
	{"fio/parts-of-sectors-count-as-whole", {0},
	 "fio version 3 iolog\n0 /dev/a read 1000 100\n",
	 "issue 1 us=0 cpu=0 /dev/a read 1+1024\n"},
	{"msr/units-and-responses", {0},
	 "128166372000000000,srv,1,Read,4096,512,30\n128166372000000010,srv,0,Write,8192,4096,10\n",
	 "issue 1 us=0 cpu=0 srv/1 read 8+512\n"
	 "issue 2 us=1 cpu=0 srv/0 write 16+4096\n"
	 "done 2 us=2 cpu=0\n"
	 "done 1 us=3 cpu=0\n"},
	{"msr/rows-out-of-order", {0},
	 "128166372000000020,s,0,Read,0,512,5\n128166372000000000,s,0,Read,512,512,5\n",
	 "issue 1 us=0 cpu=0 s/0 read 1+512\n"
	 "done 1 us=0 cpu=0\n"
	 "issue 2 us=2 cpu=0 s/0 read 0+512\n"
	 "done 2 us=2 cpu=0\n"},
	{"alibaba/microseconds", {0},
	 "7,W,512,1024,1577808000000493\n8,R,0,512,1577808000000500\n",
	 "issue 1 us=0 cpu=0 7 write 1+1024\n"
	 "issue 2 us=7 cpu=0 8 read 0+512\n"},
	{"tencent/whole-seconds-keep-their-order", {0},
	 "1538323201,8,16,1,1058\n1538323200,16,8,0,1063\n1538323201,24,8,0,1058\n",
	 "issue 1 us=0 cpu=0 1063 read 16+4096\n"
	 "issue 2 us=1000000 cpu=0 1058 write 8+8192\n"
	 "issue 3 us=1000000 cpu=0 1058 read 24+4096\n"},
	{"systor/empty-operation-and-order-of-ends", {0},
	 "Timestamp,Response,IOType,LUN,Offset,Size\n1456.000020000,0.000001000,R,0,0,512\n"
	 "1456.000010000,0.000030000,W,1,512,512\n1456.000050000,0.000001000,,1,512,512\n",
	 "issue 1 us=0 cpu=0 1 write 1+512\n"
	 "issue 2 us=10 cpu=0 0 read 0+512\n"
	 "done 2 us=11 cpu=0\n"
	 "done 1 us=30 cpu=0\n"},
	{"spc/blanks-and-more-columns", {0},
	 " 0, 8, 4096, r, 0.000010, x, y\n1,16,512,W,0.000030, x, y\n",
	 "issue 1 us=0 cpu=0 0 read 8+4096\n"
	 "issue 2 us=20 cpu=0 1 write 16+512\n"},
	{"mqsim/zero-is-a-write", {0},
	 "1000 0 8 16 0\n3000  1 24 8 1\n",
	 "issue 1 us=0 cpu=0 0 write 8+8192\n"
	 "issue 2 us=2 cpu=0 1 read 24+4096\n"},
	{"csv/any-columns", {.csv = "op:rw,-,size:4096,offset:sectors,cpu,time:ms,response:us,device"},
	 "op;x;pages;sector;cpu;ms;us;\n# a note\n\"0\";;1;8;3;0.5;7;sda\n1;;2;16;0;1.25;7;sdb\n",
	 "issue 1 us=0 cpu=3 sda read 8+4096\n"
	 "done 1 us=7 cpu=3\n"
	 "issue 2 us=750 cpu=0 sdb write 16+8192\n"
	 "done 2 us=757 cpu=0\n"},
	{"csv/byte-order-mark-is-no-title", {.csv = "time:us,op,offset:bytes,size:bytes"},
	 "\xef\xbb\xbf" "1,R,0,512\r\n2,W,512,512\r\n",
	 "issue 1 us=0 cpu=0 disk read 0+512\n"
	 "issue 2 us=1 cpu=0 disk write 1+512\n"},
	{"alibaba/byte-order-mark", {0},
	 "\xef\xbb\xbf" "7,W,512,1024,1577808000000493\n",
	 "issue 1 us=0 cpu=0 7 write 1+1024\n"},
	{"csv/columns-of-fiu", {.csv = "time:ns,-,-,offset:sectors,size:sectors,op,device,device,-"},
	 "1000 12 fio 8 8 W 8 1 d41d8cd9\n2000 12 fio 16 8 R 8 1 d41d8cd9\n",
	 "issue 1 us=0 cpu=0 8/1 write 8+4096\n"
	 "issue 2 us=1 cpu=0 8/1 read 16+4096\n"},
	{"csv/columns-of-bcc-biosnoop", {.csv = "time:s,-,-,device,op,offset:sectors,size:bytes,response:ms"},
	 "TIME(s)     COMM           PID    DISK    T SECTOR     BYTES   LAT(ms)\n"
	 "0.000004    supervise      1950   xvda1   W 13092560   4096       0.74\n",
	 "issue 1 us=0 cpu=0 xvda1 write 13092560+4096\n"
	 "done 1 us=740 cpu=0\n"},
	{"csv/words-for-operations", {.csv = "time:us,op,offset:bytes,size:bytes"},
	 "1\tREAD\t0\t512\n2\tDiscard\t0\t512\n3\tf\t0\t0\n4\tw\t0\t0\n5\ttrim\t512\t1\n",
	 "issue 1 us=0 cpu=0 disk read 0+512\n"
	 "issue 2 us=1 cpu=0 disk discard 0+512\n"
	 "issue 3 us=2 cpu=0 disk flush 0+0\n"
	 "issue 4 us=4 cpu=0 disk discard 1+512\n"},

	{"at-queue/merged-and-split-bios", {.at = TRACE_AT_QUEUE},
	 "8,0 0 1 0.000000000 1 Q W 8 + 8 [x]\n"
	 "8,0 0 2 0.000001000 1 Q W 16 + 8 [x]\n"
	 "8,0 0 3 0.000002000 1 M W 16 + 8 [x]\n"
	 "8,0 0 4 0.000003000 1 D W 8 + 16 [x]\n"
	 "8,0 1 5 0.000004000 1 Q R 64 + 64 [x]\n"
	 "8,0 1 6 0.000005000 1 X R 64 / 96 [x]\n"
	 "8,0 1 7 0.000006000 1 D R 64 + 32 [x]\n"
	 "8,0 1 8 0.000007000 1 D R 96 + 32 [x]\n"
	 "8,0 1 9 0.000008000 1 C R 96 + 32 [0]\n"
	 "8,0 0 10 0.000009000 1 C W 8 + 16 [-5]\n"
	 "8,0 1 11 0.000010000 1 C R 64 + 32 [0]\n",
	 "issue 1 us=0 cpu=0 8,0 write 8+4096\n"
	 "issue 2 us=1 cpu=0 8,0 write 16+4096\n"
	 "issue 3 us=4 cpu=1 8,0 read 64+32768\n"
	 "done 1 us=9 cpu=0 error=-5\n"
	 "done 2 us=9 cpu=0 error=-5\n"
	 "done 3 us=10 cpu=1\n"},
	{"at-queue/same-place-oldest-first", {.at = TRACE_AT_QUEUE},
	 "8,0 0 1 0.000000000 1 Q R 8 + 8 [x]\n"
	 "8,0 0 2 0.000001000 1 Q R 8 + 8 [x]\n"
	 "8,0 0 3 0.000002000 1 Q W 8 + 8 [x]\n"
	 "8,0 0 4 0.000003000 1 C R 8 + 8 [0]\n"
	 "8,0 0 5 0.000004000 1 C R 8 + 8 [0]\n",
	 "issue 1 us=0 cpu=0 8,0 read 8+4096\n"
	 "issue 2 us=1 cpu=0 8,0 read 8+4096\n"
	 "issue 3 us=2 cpu=0 8,0 write 8+4096\n"
	 "done 1 us=3 cpu=0\n"
	 "done 2 us=4 cpu=0\n"},
	{"at-queue/flush-ends-with-its-flush", {.at = TRACE_AT_QUEUE},
	 "8,0 0 1 0.000000000 1 Q FWS [x]\n"
	 "8,0 0 2 0.000001000 1 D FN [x]\n"
	 "8,0 0 3 0.000002000 1 C FN 0 [0]\n"
	 "8,0 0 4 0.000003000 1 C FN 0 [0]\n",
	 "issue 1 us=0 cpu=0 8,0 flush 0+0\n"
	 "done 1 us=2 cpu=0\n"},
	{"at-setup/starts-with-its-set-up", {.at = TRACE_AT_SETUP},
	 " f-1 [000] ..... 1.000000: nvme_setup_cmd: nvme0: disk=nvme0n1, qid=1, cmdid=7, nsid=1, flags=0x0, meta=0x0, "
	 "cmd=(nvme_cmd_read slba=8, len=7, ctrl=0x0, dsmgmt=0, reftag=0)\n"
	 " f-2 [001] ..... 1.000001: block_rq_issue: 8,0 R 512 () 8 + 1 [x]\n"
	 " f-1 [000] ..... 1.000002: dma_map_phys: 0000:00:04.0 dir=FROM_DEVICE dma_addr=fff000 size=4096 phys_addr=1000 "
	 "attrs=\n"
	 " f-1 [000] ..... 1.000003: block_rq_issue: 259,0 R 4096 () 8 + 8 [x]\n"
	 " f-1 [000] ..... 1.000004: nvme_setup_cmd: nvme0: disk=nvme0n1, qid=1, cmdid=8, nsid=1, flags=0x0, meta=0x0, "
	 "cmd=(nvme_cmd_read slba=16, len=7, ctrl=0x0, dsmgmt=0, reftag=0)\n"
	 " f-1 [000] ..... 1.000005: nvme_setup_cmd: nvme0: disk=nvme0n1, qid=1, cmdid=8, nsid=1, flags=0x0, meta=0x0, "
	 "cmd=(nvme_cmd_read slba=16, len=7, ctrl=0x0, dsmgmt=0, reftag=0)\n"
	 " f-1 [000] d.h.. 1.000006: block_rq_complete: 259,0 R () 8 + 8 [0]\n"
	 " f-1 [000] ..... 1.000007: block_rq_issue: 259,0 R 4096 () 16 + 8 [x]\n"
	 " f-1 [000] ..... 1.000008: nvme_setup_cmd: nvme0: disk=nvme0n1, qid=1, cmdid=9, nsid=1, flags=0x0, meta=0x0, "
	 "cmd=(nvme_cmd_read slba=24, len=7, ctrl=0x0, dsmgmt=0, reftag=0)\n",
	 "issue 1 us=0 cpu=0 259,0 read 8+4096 q=1/7 < 1000+4096\n"
	 "issue 2 us=1 cpu=1 8,0 read 8+512\n"
	 "issue 3 us=5 cpu=0 259,0 read 16+4096 q=1/8\n"
	 "done 1 us=6 cpu=0\n"},
};

static void test_reading(gconstpointer data)
{
	const struct reading *reading = data;
	g_autofree char *path = steps_scratch(reading->text, strlen(reading->text));
	g_autoptr(GError) error = NULL;
	struct io_stream_stats stats;
	g_autofree char *steps = steps_run(path, &reading->options, true, &stats, &error);

	g_unlink(path);
	g_assert_no_error(error);
	g_assert_cmpstr(steps, ==, reading->steps);
}

/* A machine of many CPUs, or perf with many events, says much before the first event. */
static void test_long_heads(void)
{
	static const struct {
		const char *line, *event;
	} heads[] = {
		{"CPU 7 is empty\n", " fio-7 [001] 1.000000: block_rq_issue: 7,0 R 512 () 2 + 1 [x]\n"},
		{"# event : name = x\n", "fio 7 [001] 1.000000: block:block_rq_issue: 7,0 R 512 () 2 + 1 [x]\n"},
		{"Input file a.blktrace.0 added\n", "7,0 1 1 0.000000000 1 D R 2 + 1 [x]\n"},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(heads); i++) {
		g_autoptr(GString) text = g_string_new(NULL);
		const struct trace_options options = {0};
		g_autofree char *path = NULL, *steps = NULL;
		g_autoptr(GError) error = NULL;
		struct io_stream_stats stats;

		for (unsigned line = 0; line < 255; line++)
			g_string_append(text, heads[i].line);
		g_string_append(text, heads[i].event);
		path = steps_scratch(text->str, text->len);
		steps = steps_run(path, &options, true, &stats, &error);
		g_unlink(path);
		g_assert_no_error(error);
		g_assert_cmpstr(steps, ==, "issue 1 us=0 cpu=1 7,0 read 2+512\n");
	}
}

/* ---- what the recording says of itself ---- */

struct saying {
	const char *name;
	const char *text;
	const char *key, *value;
};

static const struct saying sayings[] = {
	{"blkparse/skipped-records",
	 "8,0 0 1 0.000000000 1 D W 0 + 8 [x]\nTotal (t):\nSkips: 1 forward (1,234 -   0.5%)\n", "lost events", "1234"},

	{"blk/lost-events",
	 "# tracer: blk\nCPU:1 [LOST 17 EVENTS]\n fio-16    [001]     1.000002:   7,0    D   R 8 + 8 [x]\n", "lost events", "17"},
	{"perf/lost-events",
	 "fio 7 [001] 1.0: PERF_RECORD_LOST lost 17\nfio 7 [001] 1.0: block:block_rq_issue: 7,0 R 512 () 2 + 1 [x]\n",
	 "lost events", "17"},
	{"perf/raw-bodies",
	 "fio 7 [001] 1.0: nvme:nvme_setup_cmd: [FAILED TO PARSE] a=1\n"
	 "fio 7 [001] 1.0: block:block_rq_issue: 7,0 R 512 () 2 + 1 [x]\n",
	 "events perf could not print", "1"},
	{"ftrace/raw-bodies",
	 " f-1 [000] 1.0: nvme_sq: [FAILED TO PARSE] a=1\n f-1 [000] 1.0: block_rq_issue: 259,0 W 512 () 0 + 1 [x]\n",
	 "events trace-cmd could not print", "1"},
	{"fio/logs-in-the-file", "fio version 3 iolog\n0 a read 0 512\nfio version 3 iolog\n0 a read 0 512\n",
	 "logs in the file", "2"},
	{"fio/torn-lines",
	 "fio version 3 iolog\n0 a read 0 512\n0 a read 0 512\n0 a read 0 512\n0 a read 0 512\n0 a read 0 512\n0 a read 0 512\n"
	 "0 a read 0 512\n0 a read 0 512\n0 a read 0 512\n0 a read 0 51re\n",
	 "torn lines", "1"},
	{"fio/parts-of-sectors", "fio version 3 iolog\n0 a read 1 512\n", "not of whole sectors", "1"},
	{"systor/rows-without-operation",
	 "Timestamp,Response,IOType,LUN,Offset,Size\n1.0,0.1,R,0,0,512\n1.1,0.1,,0,0,512\n", "without an operation", "1"},
	{"alibaba/rows-without-data", "7,W,512,1024,1577808000000493\n8,R,0,0,1577808000000500\n", "without data", "1"},
};

static void test_saying(gconstpointer data)
{
	const struct saying *saying = data;
	g_autofree char *path = steps_scratch(saying->text, strlen(saying->text));
	g_autoptr(GError) error = NULL;
	struct io_stream *stream = io_stream_open(path, NULL, &error);
	const struct io_record *record;
	struct io_complete complete;

	g_assert_no_error(error);
	while (io_stream_next(stream, &record, &complete, &error) > 0)
		;
	g_assert_no_error(error);
	g_assert_cmpstr(g_hash_table_lookup(io_stream_facts(stream), saying->key), ==, saying->value);
	io_stream_close(stream);
	g_unlink(path);
}

/* ---- options that cannot be ---- */

struct refusal {
	const char *name;
	struct trace_options options;
	const char *message;
};

static const struct refusal refusals[] = {
	{"blkparse-unknown-field", {.blkparse_format = "%a %Z"}, "--blkparse-format=%a %Z: blkparse knows no field '%Z'"},
	{"blkparse-ends-in-percent", {.blkparse_format = "%a %"}, "--blkparse-format=%a %: blkparse knows no field '% '"},
	{"blkparse-without-operation", {.blkparse_format = "%a %T %S %n"}, "--blkparse-format=%a %T %S %n: lacks %d"},
	{"blkparse-without-size", {.blkparse_format = "%a %d %T %S"}, "--blkparse-format=%a %d %T %S: lacks %n or %N"},
	{"blkparse-too-long",
	 {.blkparse_format = "0123456789012345678901234567890123456789012345678901234567890123456789"},
	 "--blkparse-format: more than 64 items"},

	{"csv-without-columns", {.format = "csv"},
	 "csv: give the columns as --csv=time:ns,op,offset:sectors,size:bytes"},
	{"csv-without-unit", {.csv = "time,op,offset:bytes,size:bytes"},
	 "--csv=time,op,offset:bytes,size:bytes: 'time' is no column with its unit (time:ns, op, op:rw, offset:sectors, "
	 "size:bytes, response:us, device, cpu, -)"},
	{"csv-unknown-column", {.csv = "time:ns,colour"},
	 "--csv=time:ns,colour: 'colour' is no column with its unit (time:ns, op, op:rw, offset:sectors, size:bytes, "
	 "response:us, device, cpu, -)"},
	{"csv-unknown-unit", {.csv = "time:days"},
	 "--csv=time:days: 'time:days' is no column with its unit (time:ns, op, op:rw, offset:sectors, size:bytes, "
	 "response:us, device, cpu, -)"},
	{"csv-lacks-size", {.csv = "time:ns,op,offset:bytes"}, "--csv=time:ns,op,offset:bytes: lacks size"},
	{"csv-time-twice", {.csv = "time:ns,time:s,op,offset:bytes,size:bytes"},
	 "--csv=time:ns,time:s,op,offset:bytes,size:bytes: has time twice"},
	{"csv-too-many-columns", {.csv = "-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,"
					 "-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-"},
	 "--csv: more than 64 columns"},
};

static void test_refusal(gconstpointer data)
{
	const struct refusal *refusal = data;
	g_autofree char *path = steps_scratch("x\n", 2);
	g_autoptr(GError) error = NULL;

	g_assert_null(io_stream_open_options(path, &refusal->options, &error));
	g_assert_error(error, SIM_ERROR, SIM_ERROR_INPUT);
	g_assert_cmpstr(error->message, ==, refusal->message);
	g_unlink(path);
}

/* ---- damage ---- */

struct hostile {
	const char *name; /* in fixtures/hostile/traces */
	struct trace_options options;
	const char *message; /* behind the path */
};

static const struct hostile hostiles[] = {
	{"blkparse-action-three-letters.txt", {0}, ":2: not a line of blkparse: is it of another format?"},
	{"blkparse-cpu-too-high.txt", {0}, ":2: CPU 4096: at most 4096 CPUs"},
	{"blkparse-cut-off.txt", {0}, ":2: not a line of blkparse: is it of another format?"},
	{"blkparse-error-too-large.txt", {0}, ":2: not a line of blkparse: is it of another format?"},
	{"blkparse-major-too-large.txt", {0}, ":2: not a line of blkparse: is it of another format?"},
	{"blkparse-nanoseconds-too-large.txt", {0}, ":2: not a line of blkparse: is it of another format?"},
	{"blkparse-no-issue.txt", {0}, ": no I/O events in it, read as blkparse"},
	{"blkparse-of-another-format.txt", {.blkparse_format = "%T.%t %a %d %S %n"}, ":2: not a line of --blkparse-format"},
	{"blkparse-sector-too-large.txt", {0}, ":2: not a line of blkparse: is it of another format?"},
	{"blkparse-time-too-large.txt", {0}, ":2: not a line of blkparse: is it of another format?"},

	{"blk-cpu-too-high.txt", {0}, ":2: CPU 9999: at most 4096 CPUs"},
	{"blk-cut-off.txt", {0}, ":2: action of the blk tracer: fields not understood"},
	{"blk-not-a-line.txt", {0}, ":2: not a line of the blk tracer"},
	{"blk-tracer.txt", {0}, ":4: action of the blk tracer: fields not understood"},
	{"perf-cpu-too-high.txt", {0}, ":2: CPU 4096: at most 4096 CPUs"},
	{"perf-cut-off.txt", {0}, ":2: block_rq_issue: fields not understood"},
	{"perf-not-a-line.txt", {0}, ":2: not a line of perf script"},
	{"perf-time-too-large.txt", {0}, ":2: not a line of perf script"},
	{"fio-action-unknown.iolog", {0}, ":3: not a line of an iolog, the first of 1 among 2"},
	{"fio-length-missing.iolog", {0}, ":3: not a line of an iolog, the first of 1 among 2"},
	{"fio-length-too-large.iolog", {0}, ":3: not a line of an iolog, the first of 1 among 2"},
	{"fio-length-zero.iolog", {0}, ":3: not a line of an iolog, the first of 1 among 2"},
	{"fio-more-than-it-has.iolog", {0}, ":3: not a line of an iolog, the first of 1 among 2"},
	{"fio-mostly-torn.iolog", {0}, ":1003: not a line of an iolog, the first of 30 among 1031"},
	{"fio-offset-too-large.iolog", {0}, ":3: not a line of an iolog, the first of 1 among 2"},
	{"fio-only-files.iolog", {0}, ": no I/O events in it, read as fio"},
	{"fio-time-too-large.iolog", {0}, ":3: not a line of an iolog, the first of 1 among 2"},
	{"fio-version-1.iolog", {0}, ":1: iolog of version 1: only 2 and 3 are known"},
	{"fio-version-cut-off.iolog", {0}, ": no trace in a format known here (FORMATS)"},
	{"fio-wait-in-version-3.iolog", {0}, ":3: not a line of an iolog, the first of 1 among 2"},
	{"fio-wait-too-long.iolog", {0}, ":2: not a line of an iolog, the first of 1 among 1"},
	{"msr-offset-beyond-64-bits.csv", {.format = "msr"}, ":2: not understood: column 5"},
	{"msr-offset-too-large.csv", {0}, ":2: impossible range: bytes from 18014398509481984"},
	{"msr-operation-unknown.csv", {.format = "msr"}, ":2: not understood: column 4"},
	{"msr-response-too-large.csv", {.format = "msr"}, ":2: impossible response: ns 9999999999999999900"},
	{"msr-row-too-long.csv", {.format = "msr"}, ":2: row of another number of columns: 8"},
	{"msr-row-too-short.csv", {.format = "msr"}, ":2: row of another number of columns: 6"},
	{"msr-size-too-large.csv", {0}, ":2: impossible range: bytes from 1298841600"},
	{"msr-time-negative.csv", {.format = "msr"}, ":2: not understood: column 1"},
	{"msr-time-too-large.csv", {.format = "msr"}, ":2: not understood: column 1"},
	{"tencent-operation-2.csv", {.format = "tencent"}, ":2: not understood: column 4"},
	{"systor-only-header.csv", {0}, ": no I/O events in it, read as systor"},
	{"systor-without-operations.csv", {0}, ": no I/O events in it, read as systor"},
	{"csv-cpu-impossible.csv", {.csv = "time:ns,op,offset:sectors,size:sectors,cpu"}, ":1: impossible CPU 4096"},
	{"csv-device-name-too-long.csv", {.csv = "time:ns,op,offset:sectors,size:sectors,device"},
	 ":1: not understood: column 5"},
	{"csv-first-time-negative.csv", {.csv = "time:ns,op,offset:sectors,size:sectors"}, ":1: not understood: column 1"},
	{"csv-digit-operation.csv", {.csv = "time:ns,op,offset:sectors,size:sectors"}, ":1: not understood: column 2"},

	{"tracedat-cut-in-data.dat", {0}, ": damaged trace.dat: libtracecmd cannot read it"},
	{"tracedat-cut-in-formats.dat", {0}, ": damaged trace.dat: libtracecmd cannot read it"},
	{"tracedat-field-outside.dat", {0}, "@4192: block_rq_issue: fields not understood"},
	{"tracedat-format-missing.dat", {0}, "@4240: event whose format the file does not have"},
	{"tracedat-header-only.dat", {0}, ": damaged trace.dat: libtracecmd cannot read it"},
	{"tracedat-no-io.dat", {0}, ": no I/O events in it, read as tracedat"},
	{"tracedat-operation-unknown.dat", {0}, "@4192: block_rq_issue: fields not understood"},
	{"tracedat-size-huge.dat", {0}, ": damaged trace.dat: libtracecmd cannot read it"},
	{"tracedat-version-99.dat", {0}, ": damaged trace.dat: libtracecmd cannot read it"},
	{"perf-of-another-format.txt", {.format = "tracedat"}, "@0: not a trace.dat"},

	{"iot-behind-the-end.iot", {0}, "@267: something stands behind the end"},
	{"iot-bytes-too-many.iot", {0}, "@104: record with an impossible range"},
	{"iot-command-id-65536.iot", {0}, "@104: record with an impossible queue or command id"},
	{"iot-cpu-impossible.iot", {0}, "@104: record with an impossible CPU"},
	{"iot-device-beyond-the-table.iot", {0}, "@104: record with an impossible device"},
	{"iot-device-same-as-none.iot", {0}, "@104: record with an impossible device"},
	{"iot-end-before-any-issue.iot", {0}, "@104: record with an impossible request to end"},
	{"iot-end-missing.iot", {0}, "@195: cut off: there is no end"},
	{"iot-end-of-nobody.iot", {0}, "@118: record with an impossible request to end"},
	{"iot-end-of-other-ends.iot", {0}, "@195: end does not fit what stands before it"},
	{"iot-end-of-other-issues.iot", {0}, "@195: end does not fit what stands before it"},
	{"iot-end-of-too-many-cpus.iot", {0}, "@195: end does not fit what stands before it"},
	{"iot-end-of-unknown-kind.iot", {0}, "@118: record with an impossible kind"},
	{"iot-end-with-error-nought.iot", {0}, "@118: record with an impossible error"},
	{"iot-end-with-error-of-33-bits.iot", {0}, "@118: record with an impossible error"},
	{"iot-end-with-unknown-bits.iot", {0}, "@118: record with an impossible kind"},
	{"iot-flags-direction-of-a-write.iot", {0}, "@104: record with an impossible byte of flags"},
	{"iot-flags-none.iot", {0}, "@104: record with an impossible byte of flags"},
	{"iot-flags-unknown.iot", {0}, "@104: record with an impossible byte of flags"},
	{"iot-frame-cut-off.iot", {0}, "@56: frame cut off"},
	{"iot-frame-of-another-request.iot", {0}, "@118: frame does not go on where the one before ends"},
	{"iot-frame-of-another-time.iot", {0}, "@118: frame does not go on where the one before ends"},
	{"iot-frame-of-fewer-records.iot", {0}, "@118: frame has fewer records than it says"},
	{"iot-frame-of-more-records.iot", {0}, "@118: frame has more than its records"},
	{"iot-frame-of-no-records.iot", {0}, "@56: frame of no records"},
	{"iot-frame-of-wrong-checksum.iot", {0}, "@56: damaged frame: its checksum is another"},
	{"iot-frame-too-large.iot", {0}, "@56: not a frame"},
	{"iot-frame-with-reserved-bits.iot", {0}, "@56: not a frame"},
	{"iot-frame-without-magic.iot", {0}, "@56: not a frame"},
	{"iot-header-cut-off.iot", {0}, "@56: frame cut off"},
	{"iot-index-of-no-entries.iot", {0}, "@123: index is not of these frames"},
	{"iot-index-of-other-frames.iot", {0}, "@123: index is not of these frames"},
	{"iot-index-without-end.iot", {0}, "@195: no end behind the index"},
	{"iot-kind-unknown.iot", {0}, "@56: frame of unknown kind, or in the wrong place"},
	{"iot-no-requests.iot", {0}, ": no I/O events in it, read as iot"},
	{"iot-number-beyond-64-bits.iot", {0}, "@104: record with an impossible time"},
	{"iot-number-cut-off.iot", {0}, "@104: record with an impossible time"},
	{"iot-number-too-long.iot", {0}, "@104: record with an impossible time"},
	{"iot-operation-unknown.iot", {0}, "@104: record with an impossible operation"},
	{"iot-queue-65535.iot", {0}, "@104: record with an impossible queue or command id"},
	{"iot-sector-negative.iot", {0}, "@104: record with an impossible range"},
	{"iot-sector-too-large.iot", {0}, "@104: record with an impossible range"},
	{"iot-segment-beyond-64-bits.iot", {0}, "@104: record with an impossible segment"},
	{"iot-segment-of-no-bytes.iot", {0}, "@104: record with an impossible segment"},
	{"iot-segment-of-too-many-bytes.iot", {0}, "@104: record with an impossible segment"},
	{"iot-segments-do-not-add-up.iot", {0}, "@104: record with an impossible sum of segments"},
	{"iot-segments-none.iot", {0}, "@104: record with an impossible number of segments"},
	{"iot-segments-too-many.iot", {0}, "@104: record with an impossible number of segments"},
	{"iot-start-missing.iot", {0}, "@8: no start"},
	{"iot-start-of-too-many-cpus.iot", {0}, "@8: impossible start"},
	{"iot-start-too-short.iot", {0}, "@8: no start"},
	{"iot-start-twice.iot", {0}, "@56: frame of unknown kind, or in the wrong place"},
	{"iot-table-name-changed.iot", {0}, "@161: impossible table of devices"},
	{"iot-table-name-cut-off.iot", {0}, "@100: impossible table of devices"},
	{"iot-table-name-too-long.iot", {0}, "@100: impossible table of devices"},
	{"iot-table-name-with-nul.iot", {0}, "@99: impossible table of devices"},
	{"iot-table-number-skipped.iot", {0}, "@98: impossible table of devices"},
	{"iot-table-too-long.iot", {0}, "@99: impossible table of devices"},
	{"iot-tail-missing.iot", {0}, "@123: cut off: there is no end"},
	{"iot-time-beyond-64-bits.iot", {0}, "@110: record with an impossible time"},
	{"iot-version-2.iot", {0}, "@8: iot of version 2: only 1 is known"},
	{"nul-bytes.txt", {.format = "iot"}, "@0: not an iot file"},

	{"at-queue-without-queue.txt", {.at = TRACE_AT_QUEUE}, ": no queue events in it, read as perf"},
	{"at-setup-without-setup.txt", {.at = TRACE_AT_SETUP}, ": no set-up before any issue in it, read as perf"},
};

static void test_hostile(gconstpointer data)
{
	const struct hostile *hostile = data;

	steps_assert_hostile(hostile->name, &hostile->options, hostile->message);
}

static const char *const damaged[] = {
	"loop-mix.blkparse.txt",
	"loop-mix.ftrace-blk.txt", "loop-uring.perf-script.txt", "loop-mix.fio-v3.iolog", "synthetic-fio-v2.iolog",
	"synthetic-msr.csv",	   "synthetic-alibaba.csv",	 "synthetic-spc.txt",	  "synthetic-systor17.csv",
	"synthetic-tencent.csv",   "synthetic-mqsim.trace",	 "synthetic.iot",
	"synthetic.csv",
};

static void test_damage(gconstpointer data)
{
	steps_assert_damage_ends(data, NULL, 1200);
}

/* ---- recordings: counts, and the same run in two formats ---- */

struct golden {
	const char *name;   /* in fixtures/traces, or in shared/traces/public-samples */
	const char *format; /* as told by its content */
	uint64_t events, issues, completions, backwards, ties, cpus;
	uint64_t op_count[IO_OPS];
};

static const struct golden goldens[] = {
	{"loop-mix.blkparse.txt", "blkparse", 1967, 327, 327, 0, 0, 2, {208, 108, 3, 8, 0, 0}},
	{"v7.0-strict-ext4.blkparse.txt.zst", "blkparse", 3902, 524, 524, 0, 0, 4, {280, 171, 9, 64, 0, 0}},

	{"loop-mix.ftrace-blk.txt", "blk", 1967, 327, 327, 0, 740, 2, {208, 108, 3, 8, 0, 0}},
	{"loop-uring.perf-script.txt", "perf", 316, 158, 158, 0, 2, 2, {100, 50, 0, 8, 0, 0}},
	{"loop-mix.fio-v3.iolog", "fio", 606, 600, 0, 303, 1, 1, {416, 184, 0, 0, 0, 0}},
	{"synthetic-fio-v2.iolog", "fio", 211, 200, 0, 0, 202, 1, {112, 80, 3, 5, 0, 0}},
	{"synthetic-msr.csv", "msr", 400, 200, 200, 0, 0, 1, {125, 75, 0, 0, 0, 0}},
	{"synthetic-alibaba.csv", "alibaba", 200, 200, 0, 0, 2, 1, {121, 79, 0, 0, 0, 0}},
	{"synthetic-spc.txt", "spc", 200, 200, 0, 0, 0, 1, {113, 87, 0, 0, 0, 0}},
	{"synthetic-systor17.csv", "systor", 117, 57, 57, 21, 0, 1, {39, 18, 0, 0, 0, 0}},
	{"synthetic-tencent.csv", "tencent", 60, 60, 0, 8, 53, 1, {34, 26, 0, 0, 0, 0}},
	{"synthetic-mqsim.trace", "mqsim", 60, 60, 0, 0, 16, 1, {32, 28, 0, 0, 0, 0}},
	{"systor17-lun0-sample.csv.gz", "systor", 1998, 999, 999, 287, 9, 1, {826, 173, 0, 0, 0, 0}},
	{"tencent-cbs-4000.csv.gz", "tencent", 4000, 4000, 0, 1263, 3998, 1, {1725, 2275, 0, 0, 0, 0}},
	{"mqsim-tpcc-2000.trace.gz", "mqsim", 2000, 2000, 0, 0, 23, 1, {1229, 771, 0, 0, 0, 0}},
	{"synthetic.csv", "csv", 401, 200, 200, 0, 1, 1, {125, 75, 0, 0, 0, 0}},
	{"synthetic.iot", "iot", 14, 8, 4, 0, 4, 4, {2, 2, 1, 1, 1, 1}},
	{"synthetic.trace.dat", "tracedat", 60, 10, 10, 0, 0, 2, {5, 5, 0, 0, 0, 0}},
	{"synthetic-lost.trace.dat", "tracedat", 60, 10, 10, 0, 0, 2, {5, 5, 0, 0, 0, 0}},
};

static char *golden_path(const struct golden *golden)
{
	char *path = steps_fixture(golden->name);

	if (g_file_test(path, G_FILE_TEST_EXISTS))
		return path;
	g_free(path);
	return g_build_filename(g_getenv("SHARED") ? g_getenv("SHARED") : "", "traces", "public-samples", golden->name,
				NULL);
}

static void test_golden(gconstpointer data)
{
	const struct golden *golden = data;
	g_autofree char *path = golden_path(golden);
	g_autoptr(GError) error = NULL;
	struct io_stream_stats stats;
	struct io_stream *stream;

	if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
		g_test_skip("needs shared/traces/public-samples");
		return;
	}
	g_free(steps_run(path, NULL, false, &stats, &error));
	g_assert_no_error(error);
	g_assert_cmpuint(stats.events, ==, golden->events);
	g_assert_cmpuint(stats.issues, ==, golden->issues);
	g_assert_cmpuint(stats.completions, ==, golden->completions);
	g_assert_cmpuint(stats.unmatched_completions, ==, 0);
	g_assert_cmpuint(stats.time_backwards, ==, golden->backwards);
	g_assert_cmpuint(stats.ties, ==, golden->ties);
	g_assert_cmpuint(stats.cpus, ==, golden->cpus);
	for (unsigned op = 0; op < IO_OPS; op++)
		g_assert_cmpuint(stats.op_count[op], ==, golden->op_count[op]);
	stream = io_stream_open(path, NULL, &error);
	g_assert_no_error(error);
	g_assert_cmpstr(io_stream_format(stream)->name, ==, golden->format);
	io_stream_close(stream);
}

static char *steps_of(const char *path)
{
	g_autoptr(GError) error = NULL;
	struct io_stream_stats stats;
	char *steps = steps_run(path, NULL, true, &stats, &error);

	g_assert_no_error(error);
	return steps;
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Takes the number out of "issue 7 us=…": it depends on the order of what happened at one time. */
static void strip_number(char *line)
{
	char *number = strchr(line, ' '), *rest = number ? strchr(number + 1, ' ') : NULL;

	if (rest)
		memmove(number, rest, strlen(rest) + 1);
}

/* Steps of one time have no order between CPUs. Shows the first line that differs instead of a million. */
static void assert_same_steps(const char *a, const char *b)
{
	g_auto(GStrv) left = g_strsplit(a, "\n", -1), right = g_strsplit(b, "\n", -1);
	guint left_count = g_strv_length(left), right_count = g_strv_length(right);

	g_assert_cmpuint(left_count, ==, right_count);
	for (guint i = 0; i < left_count; i++) {
		strip_number(left[i]);
		strip_number(right[i]);
	}
	qsort(left, left_count, sizeof(char *), compare_lines);
	qsort(right, right_count, sizeof(char *), compare_lines);
	for (guint i = 0; i < left_count; i++)
		g_assert_cmpstr(left[i], ==, right[i]);
}

/* blkparse merged the files as we do. */
static void test_blkparse_is_blktrace(gconstpointer data)
{
	g_autofree char *text = g_build_filename(data, "blkparse.txt.zst", NULL);
	g_autofree char *of_text = steps_of(text), *of_files = steps_of(data);

	assert_same_steps(of_text, of_files);
}

/* Takes the time out: text has it in microseconds. */
static void strip_times(char *steps)
{
	for (char *at = steps; (at = strstr(at, " us="));) {
		char *end = at + strcspn(at + 1, " \n") + 1;

		memmove(at, end, strlen(end) + 1);
	}
}

/* The same buffer, as text and in binary, packed and not. */
static void test_tracedat_is_ftrace(gconstpointer data)
{
	g_autofree char *text = g_build_filename(data, "trace.txt.zst", NULL);
	g_autofree char *binary = g_build_filename(data, "trace.dat.zst", NULL);
	g_autofree char *of_text = steps_of(text), *of_binary = steps_of(binary);

	strip_times(of_text);
	strip_times(of_binary);
	assert_same_steps(of_text, of_binary);
}

static void test_tracedat_steps(void)
{
	static const char expected[] =
		"issue 1 us=0 cpu=0 259,0 read 0+4096 q=1/0 < 100000+4096\n"
		"done 1 us=9 cpu=1\n"
		"issue 2 us=20 cpu=0 259,0 write 64+4096 q=1/1 > 101000+4096\n"
		"done 2 us=29 cpu=1\n";
	g_autofree char *path = steps_fixture("synthetic.trace.dat"), *steps = steps_of(path);
	g_autofree char *lost = steps_fixture("synthetic-lost.trace.dat");
	struct io_stream *stream = io_stream_open(lost, NULL, NULL);
	const struct io_record *record;
	struct io_complete complete;

	g_assert_true(g_str_has_prefix(steps, expected));
	while (io_stream_next(stream, &record, &complete, NULL) > 0)
		;
	g_assert_cmpstr(g_hash_table_lookup(io_stream_facts(stream), "lost events"), ==, "17");
	g_assert_cmpuint(io_stream_cpus(stream), ==, 2);
	io_stream_close(stream);
}

/* Cut off, and with a byte changed, here and there: each is a process of its own, so not everywhere. */
static void test_tracedat_damage_ends(void)
{
	g_autofree char *path = steps_fixture("synthetic.trace.dat"), *bytes = NULL, *copy = NULL;
	gsize len;

	g_assert_true(g_file_get_contents(path, &bytes, &len, NULL));
	for (gsize i = 0; i < 2 * len; i += sample_every() * (i < len ? 131 : 61)) {
		gsize at = i < len ? i : i - len;
		g_autoptr(GError) error = NULL;
		struct io_stream_stats stats;

		if (i >= len)
			bytes[at] ^= (char)0xff;
		copy = steps_scratch(bytes, i < len ? at : len);
		g_free(steps_run(copy, NULL, false, &stats, &error));
		if (error)
			g_assert_error(error, SIM_ERROR, SIM_ERROR_INPUT);
		g_unlink(copy);
		g_clear_pointer(&copy, g_free);
		if (i >= len)
			bytes[at] ^= (char)0xff;
	}
}

/* Closed before its end: the child must not be left behind. */
static void test_tracedat_closed_early(void)
{
	g_autofree char *path = steps_fixture("synthetic.trace.dat");
	struct io_stream *stream = io_stream_open(path, NULL, NULL);

	g_assert_nonnull(stream);
	io_stream_close(stream);
	g_assert_cmpint(waitpid(-1, NULL, WNOHANG), ==, -1);
}

/* Reference: lines of fio that are whole, from the first number to the last. */
static uint64_t count_whole_lines(const char *path, uint64_t *ret_torn)
{
	g_autoptr(GRegex) whole = g_regex_new("^\\d+ \\S+ (read|write|trim) \\d+ [1-9]\\d*$", 0, 0, NULL);
	g_autoptr(GRegex) other = g_regex_new("^(fio version 3 iolog|\\d+ \\S+ (add|open|close))$", 0, 0, NULL);
	struct input *input = input_open(path, NULL);
	uint64_t count = 0;
	const char *line;
	size_t len;

	*ret_torn = 0;
	while (input_line(input, &line, &len, NULL) > 0) {
		if (g_regex_match_full(whole, line, (gssize)len, 0, 0, NULL, NULL))
			count++;
		else if (len && !g_regex_match_full(other, line, (gssize)len, 0, 0, NULL, NULL))
			++*ret_torn;
	}
	input_close(input);
	return count;
}

static void test_iolog(gconstpointer data)
{
	uint64_t torn, whole = count_whole_lines(data, &torn);
	g_autoptr(GError) error = NULL;
	struct io_stream_stats stats;

	g_free(steps_run(data, NULL, false, &stats, &error));
	g_assert_no_error(error);
	g_assert_cmpuint(stats.issues, ==, whole);
	g_assert_cmpuint(stats.max_in_flight, ==, 0);
	g_assert_cmpuint(torn, <, 100);
}

/* The bios of the runs end, however they were merged and split, and all bytes are there. Of one in a thousand parts may be
 * taken for another's: random bios that overlap are split at the same time. */
static void test_bios_end(gconstpointer data)
{
	const struct trace_options queue = {.at = TRACE_AT_QUEUE};
	struct io_stream_stats bios, requests;
	g_autoptr(GError) error = NULL;

	g_free(steps_run(data, &queue, false, &bios, &error));
	g_assert_no_error(error);
	g_free(steps_run(data, NULL, false, &requests, &error));
	g_assert_no_error(error);
	g_assert_cmpuint(bios.issues, ==, requests.queued);
	g_assert_cmpuint(bios.unfinished, <=, bios.issues / 1000);
	g_assert_cmpuint(bios.unmatched_completions, <=, bios.issues / 1000);
	g_assert_cmpuint(bios.op_bytes[IO_READ], ==, requests.op_bytes[IO_READ]);
	g_assert_cmpuint(bios.op_bytes[IO_DISCARD], ==, requests.op_bytes[IO_DISCARD]);
}

/* The same requests as at their issue, none later, and none later than its own. */
static void test_setups_start(gconstpointer data)
{
	const struct trace_options setup = {.at = TRACE_AT_SETUP};
	struct io_stream_stats at_setup, at_issue;
	g_autoptr(GError) error = NULL;

	g_free(steps_run(data, &setup, false, &at_setup, &error));
	g_assert_no_error(error);
	g_free(steps_run(data, NULL, false, &at_issue, &error));
	g_assert_no_error(error);
	g_assert_cmpuint(at_setup.issues, ==, at_issue.issues);
	g_assert_cmpuint(at_setup.completions, ==, at_issue.completions);
	g_assert_cmpuint(at_setup.at_missing, <, 20);
	g_assert_cmpuint(at_setup.without_segments, ==, at_issue.without_segments);
	g_assert_cmpuint(at_setup.first_ns, <=, at_issue.first_ns);
}

/* One completion of more bios than fit into the queue of steps. */
static void test_bios_without_number(void)
{
	const struct trace_options queue = {.at = TRACE_AT_QUEUE};
	GString *trace = g_string_new(NULL);
	g_autofree char *path = NULL;
	g_autoptr(GError) error = NULL;
	struct io_stream_stats stats;

	for (unsigned i = 0; i < 20000; i++)
		g_string_append_printf(trace, "8,0 0 1 0.000000000 1 Q D %u + 1 [x]\n", i);
	g_string_append(trace, "8,0 0 1 0.000001000 1 C D 0 + 20000 [0]\n");
	path = steps_scratch(trace->str, trace->len);
	g_free(steps_run(path, &queue, false, &stats, &error));
	g_assert_no_error(error);
	g_assert_cmpuint(stats.issues, ==, 20000);
	g_assert_cmpuint(stats.completions, ==, 20000);
	g_unlink(path);
	g_string_free(trace, TRUE);
}

/* Adds @test for every run in shared/traces that has @file. */
static void add_runs(const char *file, const char *prefix, GTestDataFunc test, bool give_directory, GPtrArray *paths)
{
	g_autofree char *traces = g_build_filename(g_getenv("SHARED") ? g_getenv("SHARED") : "", "traces", NULL);
	g_autoptr(GDir) dir = g_dir_open(traces, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		char *path = g_build_filename(traces, name, file, NULL);
		g_autofree char *title = g_strdup_printf("%s/%s", prefix, name);

		if (!sample_takes_name(title) || !g_file_test(path, G_FILE_TEST_EXISTS)) {
			g_free(path);
			continue;
		}
		if (give_directory)
			*strrchr(path, '/') = '\0';
		g_ptr_array_add(paths, path);
		g_test_add_data_func(title, path, test);
	}
}

/* What fio's jobs wrote in the runs. */
static const char *const iologs[] = {
	"burst-smp2.iolog.zst",	  "huge.iolog.zst",	    "mixed-qd16x4.iolog.zst", "mixed-smp1.iolog.zst",
	"rr4k-qd1.iolog.zst",	  "rr4k-qd32x4.iolog.zst",  "seqw128k-qd8.iolog.zst", "trim.iolog.zst",
	"tw.iolog.zst",		  "unaligned-qd8x2.iolog.zst", "uring.iolog.zst",     "vec.iolog.zst",
};

#define ADD(prefix, table, test)                                                                      \
	for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {                                          \
		g_autofree char *title = g_strdup_printf("/readers/%s%s", prefix, (table)[i].name);   \
                                                                                                      \
		g_test_add_data_func(title, &(table)[i], test);                                       \
	}

int main(int argc, char **argv)
{
	g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);

	g_test_init(&argc, &argv, NULL);
	ADD("", readings, test_reading)
	ADD("says/", sayings, test_saying)
	ADD("refused/", refusals, test_refusal)
	ADD("hostile/", hostiles, test_hostile)
	ADD("golden/", goldens, test_golden)
	for (unsigned i = 0; i < G_N_ELEMENTS(damaged); i++) {
		g_autofree char *title = g_strdup_printf("/readers/every-prefix-and-flip-ends/%s", damaged[i]);

		g_test_add_data_func(title, damaged[i], test_damage);
	}
	add_runs("blktrace/blkparse.txt.zst", "/readers/blkparse-is-blktrace", test_blkparse_is_blktrace, true, paths);
	g_test_add_func("/readers/long-heads-are-read-over", test_long_heads);
	g_test_add_func("/readers/tracedat/steps-and-what-was-lost", test_tracedat_steps);
	g_test_add_func("/readers/tracedat/damage-ends", test_tracedat_damage_ends);
	g_test_add_func("/readers/tracedat/closed-early-leaves-nobody", test_tracedat_closed_early);
	g_test_add_func("/readers/at-queue/bios-without-number", test_bios_without_number);
	add_runs("blktrace/t.blktrace.0.zst", "/readers/at-queue/bios-end", test_bios_end, true, paths);
	add_runs("trace.txt.zst", "/readers/at-setup/requests-are-the-same", test_setups_start, false, paths);
	add_runs("trace.dat.zst", "/readers/tracedat-is-ftrace", test_tracedat_is_ftrace, true, paths);
	for (unsigned i = 0; i < G_N_ELEMENTS(iologs); i++) {
		g_autofree char *title = g_strdup_printf("/readers/iolog/%s", iologs[i]);

		add_runs(iologs[i], title, test_iolog, false, paths);
	}
	return g_test_run();
}
