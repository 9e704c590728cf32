// The records of `../src/data.rs`: of the same shape, from the same seed.

const WORDS = `the of to and in is a for that be as on with it by this are or from an at not have can which each one all two other when
  change data edit text server record device field user order write read time value state part list store space point line page file
  update merge remove insert replica document history network message version offline cursor position conflict result number example
  system local remote collection operation concurrent together between without through another following algorithm implementation
  performance collaborative architecture`.split(/\s+/);
const STATUS = ["open", "active", "blocked", "done"];
const TOTAL = WORDS.reduce((sum, _, at) => sum + 1 / (at + 2), 0);
const MASK = (1n << 64n) - 1n;

/** splitmix64. */
class Random {
  constructor(seed) {
    this.state = seed;
  }

  next() {
    this.state = (this.state + 0x9e3779b97f4a7c15n) & MASK;
    let mixed = this.state;
    mixed = ((mixed ^ (mixed >> 30n)) * 0xbf58476d1ce4e5b9n) & MASK;
    mixed = ((mixed ^ (mixed >> 27n)) * 0x94d049bb133111ebn) & MASK;
    return mixed ^ (mixed >> 31n);
  }

  below(bound) {
    return Number(this.next() % BigInt(bound));
  }

  /** Words of `least` to `most` characters in all. */
  words(least, most) {
    const wanted = least + this.below(most - least + 1);
    let text = "";
    while (text.length < wanted) {
      let left = (Number(this.next()) / 2 ** 64) * TOTAL;
      const at = WORDS.findIndex((_, at) => (left -= 1 / (at + 2)) <= 0);
      text += `${WORDS[Math.max(at, 0)]} `;
    }
    return text.slice(0, wanted);
  }
}

/** So many records: `[id, fields]`. */
export function* records(count) {
  const random = new Random(1n);
  for (let at = 0; at < count; at++) {
    const fields = {
      title: random.words(24, 40),
      notes: random.words(40, 64),
      status: STATUS[random.below(4)],
      priority: random.below(10),
      assignee: `user-${String(random.below(10_000)).padStart(4, "0")}`,
      updatedAt: 1_700_000_000_000 + at * 61_000,
    };
    yield [random.next().toString(16).padStart(16, "0"), fields];
  }
}

/** The records in groups, each of which is one change. */
export function* groups(count, size = 100) {
  let group = [];
  for (const record of records(count)) {
    group.push(record);
    if (group.length === size) {
      yield group;
      group = [];
    }
  }
  if (group.length > 0) yield group;
}
