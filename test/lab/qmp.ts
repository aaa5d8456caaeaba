import { connect, type Socket } from 'node:net';

/** One command over QEMU's machine protocol (docs/interop/qmp-spec): connects, negotiates, asks, hangs up. */
export async function qmp(socketPath: string, command: string, signal: AbortSignal): Promise<unknown> {
  const socket = connect(socketPath);
  const abort = () => socket.destroy(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
  signal.addEventListener('abort', abort, { once: true });
  try {
    const replies = messages(socket);
    await replies.next();
    await ask(socket, replies, 'qmp_capabilities');
    return await ask(socket, replies, command);
  } finally {
    signal.removeEventListener('abort', abort);
    socket.destroy();
  }
}

async function ask(socket: Socket, replies: AsyncIterator<Reply>, command: string): Promise<unknown> {
  socket.write(`${JSON.stringify({ execute: command })}\n`);
  for (;;) {
    const { value, done } = await replies.next();
    if (done) throw new Error(`QEMU hung up before it answered ${command}`);
    if (value.error !== undefined) throw new Error(`QEMU refuses ${command}: ${value.error.desc}`);
    if ('return' in value) return value.return;
  }
}

interface Reply {
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
}

async function* messages(socket: Socket): AsyncGenerator<Reply, undefined> {
  let rest = '';
  for await (const chunk of socket) {
    const lines = (rest + String(chunk)).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line.trim() !== '') yield JSON.parse(line) as Reply;
  }
  return undefined;
}
