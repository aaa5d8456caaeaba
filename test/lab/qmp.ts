import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** One command over QEMU's machine protocol (docs/interop/qmp-spec): connects, negotiates, asks, hangs up. */
export async function qmp(
  socketPath: string,
  command: string,
  signal: AbortSignal,
  args: Readonly<Record<string, unknown>> = {},
): Promise<unknown> {
  const socket = connect(socketPath);
  const abort = () => socket.destroy(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
  signal.addEventListener('abort', abort, { once: true });
  try {
    const replies = messages(socket);
    await replies.next();
    await ask(socket, replies, 'qmp_capabilities');
    return await ask(socket, replies, command, args);
  } finally {
    signal.removeEventListener('abort', abort);
    socket.destroy();
  }
}

/**
 * Listens until QEMU ends; the reason of its event SHUTDOWN (`guest-reset`, `guest-shutdown`, `host-qmp-quit`, …),
 * undefined when it ended without one. `ended` tells that it will not open its socket any more. Keeps nobody running.
 */
export async function shutdownReason(socketPath: string, ended: () => boolean): Promise<string | undefined> {
  const socket = await connected(socketPath, ended);
  if (socket === undefined) return undefined;
  socket.unref();
  try {
    const replies = messages(socket);
    await replies.next();
    await ask(socket, replies, 'qmp_capabilities');
    for await (const { event, data } of replies) if (event === 'SHUTDOWN') return data?.reason;
    return undefined;
  } catch (error) {
    // Killed in mid-sentence.
    if (ended() || (error as NodeJS.ErrnoException).code === 'ECONNRESET') return undefined;
    throw error;
  } finally {
    socket.destroy();
  }
}

async function connected(socketPath: string, ended: () => boolean): Promise<Socket | undefined> {
  while (!ended()) {
    const socket = connect(socketPath);
    const opened = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    if (opened) return socket;
    await sleep(20);
  }
  return undefined;
}

async function ask(
  socket: Socket,
  replies: AsyncIterator<Reply>,
  command: string,
  args: Readonly<Record<string, unknown>> = {},
): Promise<unknown> {
  socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
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
  readonly event?: string;
  readonly data?: { readonly reason?: string };
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
