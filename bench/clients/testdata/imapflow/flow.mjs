// Reads a mailbox until the connection breaks, comes back with what it knew,
// reads the rest, and waits for one more message by IDLE.
import { ImapFlow } from 'imapflow';
import fs from 'node:fs';

const told = JSON.parse(fs.readFileSync(process.argv[2]));
const home = told.out + '/..';
const wait = ms => new Promise(done => setTimeout(done, ms));
const path = uid => `${told.out}/${uid}.eml`;
const seen = { vanished: [], flagged: [] };

async function connect(open) {
    const client = new ImapFlow({
        host: told.host, port: Number(told.port), secure: true, qresync: true, logger: false, socketTimeout: 240000,
        auth: { user: told.user, pass: told.password }, tls: { ca: fs.readFileSync(told.ca) },
    });
    client.on('error', () => {}); // what breaks is seen where it is awaited
    client.on('expunge', e => seen.vanished.push(e.uid));
    client.on('flags', e => e.flags.has('\\Flagged') && seen.flagged.push(e.uid));
    await client.connect();
    await client.mailboxOpen('INBOX', open);
    return client;
}

async function again(open) {
    for (const end = Date.now() + 240000; ;) {
        try {
            return await connect(open);
        } catch (err) {
            if (Date.now() > end) throw err;
            await wait(200);
        }
    }
}

// read fetches what is not there yet; a message is written once it is whole.
async function read(client) {
    for (const uid of await client.search({ all: true }, { uid: true })) {
        if (fs.existsSync(path(uid))) continue;
        const { source } = await client.fetchOne(uid, { source: true }, { uid: true });
        fs.writeFileSync(path(uid) + '.part', source);
        fs.renameSync(path(uid) + '.part', path(uid));
    }
}

let client = await connect();
const known = { changedSince: client.mailbox.highestModseq, uidValidity: client.mailbox.uidValidity };
const enabled = [...client.enabled];
const compress = Boolean(client._deflate);
let broke = false;
try {
    await read(client);
} catch {
    broke = true;
}
if (!broke) throw new Error('the connection did not break');
const before = fs.readdirSync(told.out).length;
while (!fs.existsSync(home + '/go')) await wait(50);

client = await again(known);
if (client.mailbox.uidValidity !== known.uidValidity || !client.mailbox.qresync) throw new Error('not resynchronized');
for (const uid of seen.vanished) fs.rmSync(path(uid), { force: true });
await read(client);
const news = new Promise(done => client.on('exists', done));
fs.writeFileSync(home + '/idling', 'yes');
await news;
await read(client);
await client.logout();
console.log(JSON.stringify({ enabled, compress, before, vanished: seen.vanished, flagged: seen.flagged }));
