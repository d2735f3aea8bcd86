/** The exceptions that every Python since 3.9 has without an import. */
const BUILT_IN: ReadonlySet<string> = new Set(
  `ArithmeticError AssertionError AttributeError BaseException BlockingIOError BrokenPipeError BufferError BytesWarning ChildProcessError ConnectionAbortedError ConnectionError ConnectionRefusedError ConnectionResetError DeprecationWarning EOFError EnvironmentError Exception FileExistsError FileNotFoundError FloatingPointError FutureWarning GeneratorExit IOError ImportError ImportWarning IndentationError IndexError InterruptedError IsADirectoryError KeyError KeyboardInterrupt LookupError MemoryError ModuleNotFoundError NameError NotADirectoryError NotImplementedError OSError OverflowError PendingDeprecationWarning PermissionError ProcessLookupError RecursionError ReferenceError ResourceWarning RuntimeError RuntimeWarning StopAsyncIteration StopIteration SyntaxError SyntaxWarning SystemError SystemExit TabError TimeoutError TypeError UnboundLocalError UnicodeDecodeError UnicodeEncodeError UnicodeError UnicodeTranslateError UnicodeWarning UserWarning ValueError Warning ZeroDivisionError`.split(
    /\s+/,
  ),
)

/**
 * A Python exception inside a pickle: names and arguments only, nothing was imported or called (wire-format 3.5). It
 * has the shape of a `RemoteError`, which is not named here, as its file shows errors with the repr that shows this.
 */
export class PickledError {
  readonly type: string
  readonly module: string | undefined
  readonly args: readonly unknown[]
  readonly traceback: string | undefined
  /**
   * Written inside Celery's `UnpickleableExceptionWrapper`, which any Python reads, and not as the class itself,
   * which Python must be able to import. Always so for a class that cannot be imported for sure.
   */
  readonly isWrapped: boolean

  /** Without a module the class is a built-in one, if there is one of that name. */
  constructor(
    module: string | undefined,
    type: string,
    args: readonly unknown[],
    traceback?: string,
    isWrapped = false,
  ) {
    this.module = module
    this.type = type
    this.args = args
    this.traceback = traceback
    const hasModule = module !== undefined && module !== 'builtins'
    this.isWrapped = isWrapped || (!hasModule && !BUILT_IN.has(type))
  }
}
