/*
 * How PostgreSQL, the tail, `versions` and L1 of one read-svc keep a product coherent, by the rules
 * of docs/coherence.md. `./dev model` runs it.
 *
 * One product, versions 0..NV (0: "no such product"). The property is in assert_as_of:
 *
 *     An answer that claims to be as of A holds every change that was committed before A, and
 *     nothing that was not committed, of the timeline that its state was read on.
 *
 * What stands in one d_step { } happens at once in the real system too: the snapshot of a
 * statement, a store to an atomic variable, a look-up under a lock. Between two steps anything may
 * happen. Only safety is checked, so a process that never takes its next step is one that crashed,
 * or a store that does not answer, and needs no step of its own.
 *
 * Redis is an adversary: at any time it gives any state that some statement may have read, or none.
 * So nothing that Redis does wrong needs a step either.
 *
 *   parts     ANEW (the tail may begin anew at any round: it was restarted, or too much was
 *             changed), HIT, ROTATION, FAILOVER, STREAM, EVICTION,
 *             ABORTS, REPLICA and ROW (without FAILOVER)
 *   bounds    NV transactions, TICKS of the clock
 *   -DB_...   one bug planted: must be found
 *   -DC_...   asks whether a situation comes up at all: must be found
 */
#ifndef NV
#define NV 2
#endif
#ifndef TICKS
#define TICKS 3
#endif
#define MAX(a, b) ((a) > (b) -> (a) : (b))

byte i_, x_; /* scratch inside one step, 0 between steps */

/* ---------------------------------------------------------------------------------- PostgreSQL */

byte clock = 1;            /* passes by itself; any number of things happen within one tick */
byte cur = 1;              /* the timeline */
byte n;                    /* the newest version */
byte started;              /* xids 1..started were handed out */
byte fin;                  /* bit x: transaction x is over */
byte rows;                 /* bit x: transaction x committed, so a snapshot sees its movement */
byte version_of[NV + 1];   /* by xid */
byte ctime[2 * (NV + 1)];  /* when each version was committed, by timeline */
#define CTIME(tl, v) ctime[((tl) - 1) * (NV + 1) + (v)]
#define IS_IN(x, set) (((set) >> (x)) & 1)

#ifdef FAILOVER
byte n1; /* the newest version of timeline 1, when it has ended */
#define NEWEST(tl) ((tl) == cur -> n : n1)
#else
#define NEWEST(tl) n
#endif

/* The newest version of a timeline that was committed before t. */
#define COMMITTED_BEFORE(ret, tl, t)                                                               \
    ret = 0;                                                                                       \
    do                                                                                             \
    :: ret < NEWEST(tl) && CTIME(tl, ret + 1) < (t) -> ret++                                       \
    :: else -> break                                                                               \
    od

inline assert_as_of(v, tl, t)
{
    COMMITTED_BEFORE(x_, tl, t);
    assert(v >= x_ && v <= NEWEST(tl));
    x_ = 0
}

/* The same of a watermark. It tells of one timeline, so a state of one before it may lack what is
 * claimed, and hold what was lost. */
inline assert_claims(v, tl, w, w_tl)
{
    assert(tl >= w_tl);
    assert_as_of(v, tl, w)
}

proctype ticker()
{
    do
    :: d_step { clock < TICKS -> clock++ }
    od
}

/* A write. xids go out in the order of start; the row lock, and so the commits, in any order. */
proctype writer(byte x)
{
    d_step { started == x - 1 -> started = x }
    if
    :: d_step {
           !IS_IN(x, fin) ->
           n++;
           fin = fin | (1 << x);
           rows = rows | (1 << x);
           version_of[x] = n;
           CTIME(cur, n) = clock
       }
#ifdef ABORTS
    :: d_step { !IS_IN(x, fin) -> fin = fin | (1 << x) }
#endif
    fi
}

/* A standby takes over that may lack the newest commits; writes that were under way fail. */
#ifdef FAILOVER
proctype failover()
{
    byte k;

    atomic {
        do
        :: k < n -> k++
        :: break
        od;
        skip;
        d_step {
            n1 = n;
            n = k;
            cur = 2;
            i_ = 1;
            do
            :: i_ <= NV ->
               if
               :: IS_IN(i_, rows) && version_of[i_] > k ->
                  rows = rows & (255 - (1 << i_));
                  version_of[i_] = 0
               :: i_ <= started && !IS_IN(i_, fin) -> fin = fin | (1 << i_)
               :: else
               fi;
               i_++
            :: else -> break
            od;
            i_ = 1;
            do
            :: i_ <= k -> CTIME(2, i_) = CTIME(1, i_); i_++
            :: else -> break
            od;
            i_ = 0;
            k = 0
        }
    }
}
#endif

/* ---------------------------------------------------------------------- what read-svc remembers */

#define INFINITE 255
byte W;                /* the watermark; 0: none */
byte W_tl;             /* of the property alone: the timeline of which it tells */
byte since = INFINITE; /* from where on `versions` is complete */
byte followed;         /* the timeline; 0: none */
byte younger, older;   /* `versions`: what the two tables say of the product */
byte l1;               /* the entry. 0: absent; v + 1: version v */
byte l1_tl;            /* of its read */
bit locked;            /* the lock of its shard */
#ifdef REPLICA
byte mark_read, mark_lsn; /* the mark of the tail's last round */
#endif

#ifdef B_SINCE_EQUAL
#define IS_LATER(r) (r >= since)
#else
#define IS_LATER(r) (r > since)
#endif
#ifdef B_TIMELINE_OF_STATES
#define IS_FOLLOWED(tl) (followed != 0)
#else
#define IS_FOLLOWED(tl) (tl == followed)
#endif
#define JUDGES(r, tl) (IS_FOLLOWED(tl) && IS_LATER(r))
#define IS_NEWEST(v) (v >= younger && v >= older)
#define VOUCHES(v, r, tl) (JUDGES(r, tl) && IS_NEWEST(v))

#ifdef B_PUT_UNVOUCHED
#define PUT_JUDGES(v, r, tl) true
#else
#define PUT_JUDGES(v, r, tl) VOUCHES(v, r, tl)
#endif
#ifdef B_PUT_WITHOUT_LOCK
#define PUT_LOCKS skip
#else
#define PUT_LOCKS locked = 1
#endif
#ifdef B_STREAM_ADDS
#define STREAM_MAY_ADD (l1 == 0)
#else
#define STREAM_MAY_ADD false
#endif
#ifdef B_STREAM_OLDER
#define STREAM_IS_NEWER(v) true
#else
#define STREAM_IS_NEWER(v) (l1 - 1 < v)
#endif
#ifdef B_STREAM_TIMELINE
#define STREAM_IS_SAME(tl) true
#else
#define STREAM_IS_SAME(tl) (l1_tl == tl)
#endif

inline l1_empty()
{
    l1 = 0;
    l1_tl = 0
}

/* What a hit claims now. (HIT has hits that take two steps.) */
inline check_l1()
{
    if
    :: l1 != 0 -> assert_claims(l1 - 1, l1_tl, W, W_tl)
    :: else
    fi
}

inline move_watermark()
{
    d_step { W = T; W_tl = tl; check_l1() }
}

inline l1_drop_older(v)
{
    if
    :: v != 0 ->
       d_step {
           !locked ->
           if
           :: l1 != 0 && l1 - 1 < v -> l1_empty()
           :: else
           fi
       }
    :: else
    fi
}

/* ------------------------------------------------------------------------------------- the tail */

byte snap, seen; /* its snapshots, of this round and the one before: the transactions they see */

/* Did this round read the movement of transaction x? */
#if defined(B_LAST_XID)
#define IS_NEW(x) (IS_IN(x, rows) && (seen >> (x)) == 0)
#elif defined(B_XMAX)
byte xmax;
#define IS_NEW(x) (IS_IN(x, rows) && x > xmax)
#else
#define IS_NEW(x) (IS_IN(x, rows) && !IS_IN(x, seen))
#endif

inline take_snapshot(ret_newest)
{
    i_ = 1;
    do
    :: i_ <= NV ->
       if
       :: IS_NEW(i_) ->
#ifdef C_LOWER_XID
          assert((seen >> i_) == 0);
#endif
          ret_newest = MAX(ret_newest, version_of[i_])
       :: else
       fi;
       i_++
    :: else -> break
    od;
    i_ = 0;
    snap = rows;
#ifdef B_XMAX
    xmax = started
#endif
}

inline reset_watermark()
{
    d_step {
        W = 0;
        W_tl = 0;
#ifndef B_NO_RESET
        since = INFINITE;
        followed = 0
#endif
    }
}

inline begin_versions(F, tl)
{
    d_step { younger = 0; older = 0; younger_since = F };
    d_step { since = F };
    d_step { followed = tl }
}

inline begin_anew(F, tl)
{
#if defined(B_L1_EMPTIED_FIRST)
    d_step { !locked -> l1_empty() };
    reset_watermark();
    begin_versions(F, tl)
#elif defined(B_L1_EMPTIED_LAST)
    reset_watermark();
    begin_versions(F, tl);
    move_watermark();
    d_step { !locked -> l1_empty() }
#else
    reset_watermark();
    d_step { !locked -> l1_empty() };
    begin_versions(F, tl)
#endif
}

#ifdef B_SINCE_IS_T
#define YOUNGER_SINCE T
#else
#define YOUNGER_SINCE F
#endif

inline rotate(F)
{
#ifdef C_FORGETS
    assert(older == 0);
#endif
#ifdef B_FORGETS_BEFORE_SINCE
    d_step { older = younger; younger = 0 };
    d_step { since = younger_since; younger_since = F }
#else
    d_step { since = younger_since };
    d_step { older = younger; younger = 0; younger_since = YOUNGER_SINCE }
#endif
}

inline note_changes(F, newest)
{
#ifdef B_CHANGES_LEFT_OUT
    if
    :: true
    :: newest = 0
    fi;
#endif
#ifdef B_W_BEFORE_NOTES
    move_watermark();
#endif
#ifdef B_DROP_BEFORE_NOTES
    l1_drop_older(newest);
#endif
    d_step { younger = MAX(younger, newest) };
#ifdef ROTATION
    if
    :: true
    :: rotate(F)
    fi;
#endif
#ifdef B_W_BEFORE_DROP
    move_watermark();
#endif
#ifndef B_DROP_BEFORE_NOTES
    l1_drop_older(newest)
#endif
}

#ifdef B_TIMELINE_OF_TAIL
#define IS_ANOTHER false
#else
#define IS_ANOTHER (tl != followed)
#endif

proctype tail()
{
    byte T, F, newest, tl, younger_since;
#ifdef REPLICA
    byte lsn;
#endif
    bit has_begun, anew;

    do
       /* the statement: clock, snapshot, clock. A failover breaks the connection. */
    :: d_step {
           tl = cur;
#ifdef B_LSN_BEFORE_CLOCK
           lsn = n
       }
       d_step {
#endif
           T = clock;
#ifdef B_SINCE_BEFORE_SNAPSHOT
           F = clock
#endif
       }
       if
       :: d_step { tl == cur -> take_snapshot(newest) }
#ifdef FAILOVER
       :: tl != cur -> d_step { T = 0; F = 0; tl = 0 }; goto over
#endif
       fi;
#ifdef B_CLOCK_AFTER_SNAPSHOT
       d_step { T = clock };
#endif
#ifndef B_SINCE_BEFORE_SNAPSHOT
       d_step { F = clock };
#endif
#if defined(REPLICA) && !defined(B_LSN_BEFORE_CLOCK)
       d_step { lsn = n };
#endif
       if
       :: !has_begun || IS_ANOTHER -> anew = 1
       :: has_begun && !IS_ANOTHER
#ifdef ANEW
       :: has_begun && !IS_ANOTHER -> anew = 1
#endif
       fi;
       if
       :: anew -> begin_anew(F, tl)
       :: else -> note_changes(F, newest)
       fi;
       move_watermark();
       d_step {
#ifdef REPLICA
           mark_lsn = lsn; mark_read = T; lsn = 0;
#endif
           seen = snap; has_begun = 1;
           T = 0; F = 0; snap = 0; newest = 0; tl = 0; anew = 0
       }
over:  skip
    od
}

/* -------------------------------------------------------------------------------------- readers */

/* Any state that some statement may have read: of any timeline, with any clock reading before its
 * snapshot. What may be had once may be had for ever, so it is chosen as late as it is needed. Each
 * of them may claim its own read; only a claim of W has to be checked. */
inline any_state(v, r, tl)
{
    tl = 1;
#ifdef FAILOVER
    if
    :: true
    :: cur == 2 -> tl = 2
    fi;
#endif
    r = 1;
    do
    :: r < clock -> r++
    :: break
    od;
    COMMITTED_BEFORE(v, tl, r);
    do
    :: v < NEWEST(tl) -> v++
    :: break
    od
}

#ifdef HIT
proctype hit()
{
    byte w, w_tl;
#ifdef B_ENTRY_BEFORE_W
    byte v, tl;

    do
    :: d_step { l1 != 0 -> v = l1 - 1; tl = l1_tl }
       d_step { assert_claims(v, tl, W, W_tl); v = 0; tl = 0 }
    od
#else
    do
    :: d_step { W != 0 -> w = W; w_tl = W_tl }
       d_step {
           if
           :: l1 != 0 -> assert_claims(l1 - 1, l1_tl, w, w_tl)
           :: else
           fi;
           w = 0;
           w_tl = 0
       }
    od
#endif
}
#endif

/* An answer from Redis, or with the row of a replica. */
proctype miss()
{
    byte w, w_tl, v, r, tl;
    bit is_judged;

    do
    :: d_step { W != 0 -> w = W; w_tl = W_tl }
       atomic {
           any_state(v, r, tl);
#ifdef B_JUDGED_WITHOUT_LOCK
           is_judged = JUDGES(r, tl)
       }
       atomic {
           is_judged = is_judged && IS_NEWEST(v);
#else
           is_judged = VOUCHES(v, r, tl);
#endif
#ifdef B_UNVOUCHED
           is_judged = true;
#endif
#ifdef B_W_AFTER_VOUCH
           r = 0
       }
       d_step {
           w = W;
           w_tl = W_tl;
#endif
#ifdef C_LIFTED
           assert(!(is_judged && v == NV && r < w && W == w));
#endif
#ifdef C_REFUSED
           assert(!(!is_judged && JUDGES(r, tl)));
#endif
           if
           :: is_judged -> assert_claims(v, tl, w, w_tl)
           :: else
           fi;
           w = 0; w_tl = 0; v = 0; r = 0; tl = 0; is_judged = 0
       }
    od
}

/* A state that was loaded is put into L1. */
proctype put()
{
    byte v, r, tl;
    bit is_judged;

    do
    :: atomic {
           !locked ->
           any_state(v, r, tl);
           PUT_LOCKS;
           is_judged = PUT_JUDGES(v, r, tl);
           r = 0
       }
       d_step {
#ifdef C_LOST
           assert(!(is_judged && tl == 2 && W_tl == 2 && n1 > v && v > 0));
#endif
           if
           :: is_judged && (l1 == 0 || l1 - 1 < v) -> l1 = v + 1; l1_tl = tl; check_l1()
           :: else
           fi;
           locked = 0; v = 0; tl = 0; is_judged = 0
       }
    od
}

#ifdef REPLICA
byte rep; /* the version that the replica has replayed; the WAL position is counted in versions */

proctype replication()
{
    do
    :: d_step { rep < n -> rep++ }
    od
}

/* A row of the replica counts as read when the mark was: the snapshot comes after the comparison of
 * the positions. What such a row claims beyond that is covered by any_state then. */
proctype replica_row()
{
    byte read, lsn, v;

    do
    :: d_step { mark_read != 0 -> read = mark_read; lsn = mark_lsn }
#if defined(B_REPLICA_SNAPSHOT_FIRST)
       d_step { v = rep }
       d_step { rep >= lsn -> lsn = 0; assert_as_of(v, 1, read) }
#elif defined(B_REPLICA_WITHOUT_LSN)
       d_step { lsn = 0; v = rep; assert_as_of(v, 1, read) }
#else
       d_step { rep >= lsn -> lsn = 0 }
#ifdef C_REPLICA
       d_step { assert(read < 2 || rep == n) }
#endif
       d_step { v = rep; assert_as_of(v, 1, read) }
#endif
       d_step { v = 0; read = 0 }
    od
}
#endif

/* A row of the primary, and what it claims to have been read at. */
#ifdef ROW
proctype row()
{
    byte read;
#ifdef B_ROW_CLOCK_AFTER_SNAPSHOT
    byte v;

    do
    :: d_step { v = n }
       d_step { read = clock; assert_as_of(v, 1, read); v = 0; read = 0 }
    od
#else
    do
    :: d_step { read = clock }
       d_step { assert_as_of(n, 1, read); read = 0 }
    od
#endif
}
#endif

/* The change stream brings any state at any time. */
#ifdef STREAM
proctype stream()
{
    byte v, r, tl;

    do
    :: atomic {
           !locked ->
           any_state(v, r, tl);
           if
           :: STREAM_MAY_ADD || (l1 != 0 && STREAM_IS_NEWER(v) && STREAM_IS_SAME(tl)) ->
#ifdef C_STREAM
              assert(!(v > younger && v > older && W > 1));
#endif
              l1 = v + 1;
              l1_tl = tl;
              check_l1()
           :: else
           fi;
           v = 0; r = 0; tl = 0
       }
    od
}
#endif

#ifdef EVICTION
proctype evictor()
{
    do
    :: d_step { l1 != 0 && !locked -> l1_empty() }
    od
}
#endif

init
{
    atomic {
        i_ = 1;
        do
        :: i_ <= NV -> run writer(i_); i_++
        :: else -> break
        od;
        i_ = 0;
        run ticker();
        run tail();
#if !defined(REPLICA) && !defined(ROW)
        run miss();
        run put();
#endif
#ifdef HIT
        run hit();
#endif
#ifdef FAILOVER
        run failover();
#endif
#ifdef REPLICA
        run replication();
        run replica_row();
#endif
#ifdef ROW
        run row();
#endif
#ifdef STREAM
        run stream();
#endif
#ifdef EVICTION
        run evictor();
#endif
    }
}
