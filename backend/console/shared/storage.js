/** What this browser remembers; where storage is forbidden it remembers until the page is closed. */

const PREFIX = "polymath.";
const instead = new Map();

export function recall(name) {
  try {
    const text = localStorage.getItem(PREFIX + name);
    return text === null ? (instead.get(name) ?? null) : JSON.parse(text);
  } catch {
    return instead.get(name) ?? null;
  }
}

export function keep(name, value) {
  instead.set(name, value);
  try {
    if (value === null) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // Full or forbidden: what is kept above holds for this page.
  }
}
