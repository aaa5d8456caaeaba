/** The closed list of coded errors. Every failure a user can meet carries one of these codes. */

/** code → what the code means, in one line; `docs/errors.md` is held to this table by a test. */
export const ERROR_CODES = {
  CONFIG_INVALID: 'The configuration file is wrong; nothing was started.',
  PLUGIN_FAILED: 'A plugin failed in one of its hooks or in its life cycle.',
  PLUGIN_INCOMPATIBLE: 'A plugin asks for another core version or for a plugin that is not loaded before it.',
  PLUGIN_TIMEOUT: 'A plugin did not finish within its time limit.',
  DRIVER_MISSING: 'No loaded plugin handles what a record asks for.',
  STATE_UNWRITABLE: 'The state directory cannot be written.',
  STATE_LOCKED: 'Another appliance uses this state directory or repository.',
  PORT_UNAVAILABLE: 'A network port is taken or needs more privilege.',
  REPOSITORY_FULL: 'The repository has no room left; nothing was committed.',
  REPOSITORY_DAMAGED: 'Stored data does not match its digest.',
  DELTA_INVALID: 'A delta, signature or patch is truncated, corrupt or hostile.',
  DELTA_TOO_LARGE: 'A codec refuses an input beyond its documented limits.',
  NOT_FOUND: 'The named record does not exist.',
  CONFLICT: 'The request contradicts the present state of a record.',
  INPUT_INVALID: 'A request or argument is malformed.',
  APPLIANCE_UNREACHABLE: 'No appliance answers at the given address.',
  UNAUTHORIZED: 'The credential is missing, wrong or lacks the role.',
  IMAGE_INVALID: 'An image (directory, tar, OCI archive) is malformed, truncated or hostile.',
  MASTER_UNBOOTABLE:
    'The master cannot boot a machine: no kernel, no initramfs, or no driver for its hardware.',
  DISK_UNSUITABLE: 'No disk of the machine can hold the server.',
  ARCH_UNKNOWN: 'The firmware or processor architecture is not supported.',
  MACHINE_HELD: 'The machine is held and may not be given a role yet.',
  AGENT_LOST: 'The agent went away in mid-work.',
  OPERATION_CANCELLED: 'The operation was cancelled.',
  TIMED_OUT: 'A step passed its deadline.',
  PREREQUISITE_MISSING: 'A program or package that this needs is not installed.',
  INTERNAL: 'A defect in Overdub; please report it.',
} as const;

/** One of the codes of {@link ERROR_CODES}. */
export type ErrorCode = keyof typeof ERROR_CODES;

/** Where in the plugin system a failure arose. */
export interface Attribution {
  readonly plugin?: string;
  readonly hook?: string;
}

/**
 * The one error type that leaves the core.
 * `message` says what and why; `remedy` says what to do next.
 */
export class OverdubError extends Error {
  readonly code: ErrorCode;
  readonly remedy: string;
  readonly plugin: string | undefined;
  readonly hook: string | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    remedy: string,
    options: { cause?: unknown } & Attribution = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'OverdubError';
    this.code = code;
    this.remedy = remedy;
    this.plugin = options.plugin;
    this.hook = options.hook;
  }

  /** The shape that travels over HTTP and through `--json`. Never holds a stack. */
  toJSON(): ErrorBody {
    return {
      code: this.code,
      message: this.message,
      remedy: this.remedy,
      ...(this.plugin === undefined ? {} : { plugin: this.plugin }),
      ...(this.hook === undefined ? {} : { hook: this.hook }),
    };
  }

  /** Rebuilds an error that came over HTTP; an unknown code becomes INTERNAL. */
  static fromJSON(body: ErrorBody): OverdubError {
    const code = body.code in ERROR_CODES ? (body.code as ErrorCode) : 'INTERNAL';
    return new OverdubError(code, body.message, body.remedy ?? '', {
      ...(body.plugin === undefined ? {} : { plugin: body.plugin }),
      ...(body.hook === undefined ? {} : { hook: body.hook }),
    });
  }
}

/** JSON form of an {@link OverdubError}. */
export interface ErrorBody extends Attribution {
  readonly code: string;
  readonly message: string;
  readonly remedy: string;
}

/** Wraps anything thrown into an OverdubError; one that already is passes unchanged. */
export function toOverdubError(error: unknown, code: ErrorCode = 'INTERNAL', remedy = ''): OverdubError {
  if (error instanceof OverdubError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new OverdubError(code, message, remedy, { cause: error });
}
