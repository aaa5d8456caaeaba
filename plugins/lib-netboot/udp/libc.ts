/** The few system calls that Node does not offer, through koffi. Linux only. */

import { getSystemErrorMap } from 'node:util';

/** A system call's refusal. `code` is the system's: EADDRINUSE, EACCES, ENODEV, EADDRNOTAVAIL … */
export class UdpError extends Error {
  readonly code: string;
  readonly syscall: string;

  constructor(code: string, syscall: string, where: string) {
    super(`${syscall} ${where}: ${code}`);
    this.name = 'UdpError';
    this.code = code;
    this.syscall = syscall;
  }
}

/** Each throws {@link UdpError}; `where` is for its message. */
export interface Libc {
  /** A non-blocking descriptor that children do not inherit. */
  socket(family: number, type: number, protocol: number, where: string): number;
  /** `level`: SOL_SOCKET unless told otherwise. */
  setOption(fd: number, option: number, value: Uint8Array, where: string, level?: number): void;
  bind(fd: number, address: Uint8Array, where: string): void;
  /** To the peer that the descriptor is connected to. */
  send(fd: number, bytes: Uint8Array, where: string): void;
  sendTo(fd: number, bytes: Uint8Array, address: Uint8Array, where: string): void;
  /** The kernel's number of an interface. */
  interfaceIndex(name: string): number;
  close(fd: number): void;
}

const SOL_SOCKET = 1;
const MSG_DONTWAIT = 0x40;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;

let loaded: Promise<Libc> | undefined;

/** Loaded late, so that importing this library loads no native code; once. */
export function loadLibc(): Promise<Libc> {
  loaded ??= load();
  return loaded;
}

async function load(): Promise<Libc> {
  const { default: koffi } = await import('koffi');
  const lib = koffi.load(null);
  const socket = lib.func('int socket(int, int, int)');
  const set = lib.func('int setsockopt(int, int, int, const uint8_t *, uint32_t)');
  const bind = lib.func('int bind(int, const uint8_t *, uint32_t)');
  const send = lib.func('long send(int, const uint8_t *, size_t, int)');
  const sendTo = lib.func('long sendto(int, const uint8_t *, size_t, int, const uint8_t *, uint32_t)');
  const index = lib.func('uint32_t if_nametoindex(const char *)');
  const close = lib.func('int close(int)');
  const checked = (result: number, syscall: string, where: string): number => {
    if (result >= 0) return result;
    throw new UdpError(getSystemErrorMap().get(-koffi.errno())?.[0] ?? 'EUNKNOWN', syscall, where);
  };
  return {
    socket: (family, type, protocol, where) =>
      checked(socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol) as number, 'socket', where),
    setOption: (fd, option, value, where, level = SOL_SOCKET) =>
      void checked(set(fd, level, option, value, value.length) as number, 'setsockopt', where),
    bind: (fd, address, where) => void checked(bind(fd, address, address.length) as number, 'bind', where),
    send: (fd, bytes, where) =>
      void checked(Number(send(fd, bytes, bytes.length, MSG_DONTWAIT)), 'send', where),
    sendTo: (fd, bytes, address, where) =>
      void checked(Number(sendTo(fd, bytes, bytes.length, 0, address, address.length)), 'sendto', where),
    interfaceIndex: (name) => {
      const found = index(name) as number;
      if (found === 0) throw new UdpError('ENODEV', 'if_nametoindex', name);
      return found;
    },
    close: (fd) => void close(fd),
  };
}
