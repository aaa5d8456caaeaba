import { open } from 'node:fs/promises';
import { getSystemErrorMessage, getSystemErrorName } from 'node:util';

/** Number of kexec_file_load(2) by Node's name of the architecture. */
const NUMBERS: Readonly<Record<string, number>> = { x64: 320, arm64: 294 };

export interface KexecImage {
  /** Paths of regular files. */
  readonly kernel: string;
  readonly initrd: string;
  readonly commandLine: string;
}

/**
 * Loads a kernel to be started at the next kexec (kexec_file_load(2)): needs CAP_SYS_BOOT, and under lockdown a kernel
 * signed by a key that the running one trusts. Another one loaded before is replaced. Errors carry `code` as Node's do.
 */
export async function kexecFileLoad({ kernel, initrd, commandLine }: KexecImage): Promise<void> {
  const number = NUMBERS[process.arch];
  if (number === undefined) throw new Error(`no kexec on ${process.arch}`);
  // Only here: an agent without it does all else.
  const { default: koffi } = await import('koffi');
  const syscall = koffi
    .load('libc.so.6')
    .func(
      'int64_t syscall(int64_t number, int64_t kernel, int64_t initrd, uint64_t length, void *line, uint64_t flags)',
    );
  await using kernelFile = await open(kernel);
  await using initrdFile = await open(initrd);
  const line = Buffer.from(`${commandLine}\0`);
  const result = syscall(number, kernelFile.fd, initrdFile.fd, line.length, line, 0) as number;
  if (result === 0) return;
  const errno = -koffi.errno();
  const code = getSystemErrorName(errno);
  throw Object.assign(new Error(`kexec_file_load: ${code}: ${getSystemErrorMessage(errno)}`), {
    code,
    errno,
  });
}
