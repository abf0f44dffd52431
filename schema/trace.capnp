@0xd3a1c5f07b92e846;
# Payloads of the frames of a traincheck segment. The frame's kind says which struct is the root:
#
#   1 ProcessHeader   2 Dictionary   3 Events   4 States   5 Footer   6 Arguments   7 Collectives
#
# What frames are, and what the fields mean, is in docs/trace-format.md. Fields are only ever added at the
# end; a change that an older reader would misread makes a new major version of the format.
#
# src/trace_capnp.rs is generated from this file: capnp compile -orust:src trace.capnp (capnpc 0.27).

struct ProcessHeader {
  host @0 :Text;
  pid @1 :UInt32;
  parentPid @2 :UInt32;
  segmentIndex @3 :UInt32;
  monotonicNs @4 :UInt64;
  wallNs @5 :UInt64;
  agentVersion @6 :Text;
  pythonVersion @7 :Text;
  torchVersion @8 :Text;
  profile @9 :Text;
  executable @10 :Text;
  script @11 :Text;
  rank @12 :Int64 = -1;       # -1: none is known
  worldSize @13 :Int64 = -1;  # -1: not known
  # From version 1.5 on.
  launcher @14 :Text;         # who gave it its rank: torch, openmpi, ...; empty: nobody
  localRank @15 :Int64 = -1;  # -1: not known, as in those that follow
  node @16 :Int64 = -1;
  attempt @17 :Int64 = -1;    # how many attempts of the job came before
  job @18 :Text;              # what the job is called; empty: not known
}

struct Dictionary {
  entries @0 :List(Entry);

  struct Entry {
    id @0 :UInt32;
    kind @1 :UInt8;
    detail @2 :UInt16;
    line @3 :UInt32;
    owner @4 :UInt32;
    text @5 :Text;
    file @6 :Text;
    typeName @7 :Text;
  }
}

struct Column {
  # One number a row, in the narrowest list that holds them all.
  union {
    constant @0 :UInt64;      # every row
    bytes @1 :Data;
    shorts @2 :List(UInt16);
    longs @3 :List(UInt32);
    quads @4 :List(UInt64);
  }
}

struct Deltas {
  # Numbers that change little from row to row: `first`, and for every row the difference from the row
  # before (of row 0: 0), modulo 2^64, zigzag-encoded.
  first @0 :UInt64;
  steps @1 :Column;
}

struct BlockEnd {
  # What belongs to a block as a whole. Counts only in the frame that has `more` not set.
  more @0 :Bool;              # the next frame belongs to the same block
  dropped @1 :List(Dropped);
  positions @2 :List(Position);

  struct Dropped {
    ring @0 :UInt16;
    reason @1 :UInt8;
    count @2 :UInt64;
  }

  struct Position {
    ring @0 :UInt16;
    position @1 :UInt64;
  }
}

struct Events {
  rows @0 :UInt32;
  end @1 :BlockEnd;
  kind @2 :Column;
  stage @3 :Column;
  flags @4 :Column;
  thread @5 :Column;
  time @6 :Deltas;
  iteration @7 :Deltas;
  step @8 :Deltas;
  call @9 :Deltas;
  parent @10 :Column;         # 0: none; else 1 + zigzag(call - parent)
  name @11 :Column;
  site @12 :Column;
  object @13 :Column;
  value @14 :Column;
  context @15 :Column;        # from version 1.1 on
}

struct States {
  rows @0 :UInt32;
  end @1 :BlockEnd;
  stage @2 :Column;
  attribute @3 :Column;
  valueKind @4 :Column;
  thread @5 :Column;
  time @6 :Deltas;
  iteration @7 :Deltas;
  step @8 :Deltas;
  call @9 :Deltas;
  since @10 :Column;          # 0: never; else 1 + zigzag(time - since)
  variable @11 :Column;
  point @12 :Column;

  # Only rows of the value kinds named have a place in these, in the order of the rows.
  int @13 :Column;            # Bool and Int; zigzag
  float @14 :Column;          # Float; bits of the double
  text @15 :Column;           # Text
  tensor @16 :Digests;        # Tensor

  struct Digests {
    hashLow @0 :Column;
    hashHigh @1 :Column;
    nan @2 :Column;
    inf @3 :Column;
    zeros @4 :Column;
    elements @5 :Column;
    min @6 :Column;           # bits of the float, as the two that follow
    max @7 :Column;
    l2 @8 :Column;
  }
}

struct Arguments {
  # From version 1.1 on.
  rows @0 :UInt32;
  end @1 :BlockEnd;
  direction @2 :Column;
  valueKind @3 :Column;
  thread @4 :Column;
  time @5 :Deltas;
  call @6 :Deltas;
  iteration @7 :Deltas;
  function @8 :Column;
  name @9 :Column;
  text @10 :Column;
  value @11 :Column;
  object @12 :Column;
  storage @13 :Column;
  flags @14 :Column;
  largest @15 :Column;        # from version 1.3 on
}

struct Collectives {
  # From version 1.4 on.
  rows @0 :UInt32;
  end @1 :BlockEnd;
  event @2 :Column;
  stage @3 :Column;
  op @4 :Column;
  thread @5 :Column;
  time @6 :Deltas;
  call @7 :Deltas;
  number @8 :Deltas;
  iteration @9 :Deltas;
  step @10 :Deltas;
  group @11 :Column;
  sequence @12 :Deltas;
  elementsIn @13 :Column;
  elementsOut @14 :Column;
  peer @15 :Column;           # zigzag
  tag @16 :Column;            # zigzag
  tensors @17 :Column;
  flags @18 :Column;
  reduce @19 :Column;
  elementType @20 :Column;
  message @21 :Column;        # from version 1.6 on, as those that follow: of those whose contents were looked at
  hashLow @22 :Column;
  hashHigh @23 :Column;
  sum @24 :Column;            # bits of the double
  l2 @25 :Column;             # bits of the float
}

struct Footer {
  reason @0 :Text;
  monotonicNs @1 :UInt64;
  account @2 :List(Cost);
  frames @3 :List(Frame);     # the frames before this one, in order; at most the first 65,536
  events @4 :UInt64;          # exact totals of the segment
  states @5 :UInt64;
  entries @6 :UInt64;
  dropped @7 :UInt64;
  frameCount @8 :UInt64;
  arguments @9 :UInt64;       # from version 1.1 on
  collectives @10 :UInt64;    # from version 1.4 on

  struct Cost {
    name @0 :Text;
    value @1 :UInt64;
  }

  struct Frame {
    offset @0 :UInt64;
    kind @1 :UInt8;
    rows @2 :UInt32;
    firstTime @3 :UInt64;     # the least and the greatest of the frame; 0 where it has none
    lastTime @4 :UInt64;
    firstIteration @5 :UInt32;
    lastIteration @6 :UInt32;
  }
}
