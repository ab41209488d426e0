import ArgumentParser
import Glibc

/// The options for the form of the output.
struct OutputOptions: ParsableArguments {
    @Flag(help: "Print JSON, one object a line, for programs.")
    var json = false

    /// A Boolean value indicating whether the output is coloured.
    var isColoured: Bool { !json && isatty(STDOUT_FILENO) == 1 && getenv("NO_COLOR") == nil }
}
