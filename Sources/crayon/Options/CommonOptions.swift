import ArgumentParser
import CrayonKit

/// What every command that computes takes.
struct CommonOptions: ParsableArguments {
    @Option(name: .long, help: ArgumentHelp("Cores to use; all of them by default.", valueName: "n"))
    var threads: Int?

    @Flag(name: .shortAndLong, help: "Say nothing about progress.")
    var quiet = false

    @Flag(name: .long, help: "Print the result as JSON.")
    var json = false

    func validate() throws {
        if let threads, threads < 1 {
            throw ValidationError("--threads: \(threads); expected at least 1")
        }
    }

    func apply() {
        if let threads { Parallel.threadCount = threads }
    }
}
