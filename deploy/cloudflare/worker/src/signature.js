// What the app is told of a visitor, signed: app/services/edge.py reads it. And the pass of an operator in maintenance.

export const HEADER = "X-Edge-Visitor";
const PURPOSE = "impacteragi edge visitor v1";
const PASS = "impacteragi edge pass v1";
const LONGEST_PASS_SECONDS = 24 * 3600;

const encoder = new TextEncoder();
const keys = new Map();

/** The header's value. `path` as it stands in the address; what is signed is percent-decoded, as the app gets it. */
export async function visitorHeader(secret, { seconds, reference, address, method, path }) {
  const head = encoder.encode([PURPOSE, seconds, reference, address, method].join("\n") + "\n");
  const tail = decoded(path);
  const message = new Uint8Array(head.length + tail.length);
  message.set(head);
  message.set(tail, head.length);
  const mac = hex(await crypto.subtle.sign("HMAC", await keyOf(secret), message));
  return `v1;time=${seconds};reference=${reference};address=${address};mac=${mac}`;
}

/** Until when (seconds since 1970) this pass, `<until>.<mac>`, is good; 0 for one that is not. */
export async function passUntil(secret, pass) {
  const said = /^(\d{1,12})\.([0-9a-f]{64})$/.exec(pass ?? "");
  if (!said) return 0;
  const until = Number(said[1]);
  const now = Date.now() / 1000;
  if (until <= now || until > now + LONGEST_PASS_SECONDS) return 0;
  const mac = Uint8Array.from(said[2].match(/../g), (byte) => parseInt(byte, 16));
  const good = await crypto.subtle.verify("HMAC", await keyOf(secret), mac, encoder.encode(`${PASS}\n${until}`));
  return good ? until : 0;
}

async function keyOf(secret) {
  if (!keys.has(secret)) {
    const how = { name: "HMAC", hash: "SHA-256" };
    keys.set(secret, await crypto.subtle.importKey("raw", encoder.encode(secret), how, false, ["sign", "verify"]));
  }
  return keys.get(secret);
}

/** The bytes of a path, each %xx taken for the byte that it means; what is no %xx stays. */
export function decoded(path) {
  const bytes = [];
  for (const part of path.split(/(%[0-9a-f]{2})/i)) {
    if (/^%[0-9a-f]{2}$/i.test(part)) bytes.push(parseInt(part.slice(1), 16));
    else bytes.push(...encoder.encode(part));
  }
  return Uint8Array.from(bytes);
}

function hex(buffer) {
  return [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
