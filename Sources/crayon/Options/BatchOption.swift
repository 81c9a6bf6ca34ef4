import ArgumentParser
import CrayonKit

/// How many questions are answered at a time.
struct BatchOption: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Answer n questions at a time, each with a cache of its own.",
            discussion:
                "A pass over the weights serves up to \(Linear.directRows) of them; answers are those of one at a time.",
            valueName: "n"))
    var batch = 1

    func validate() throws {
        guard (1...BatchGenerator.largestSize).contains(batch) else {
            throw ValidationError("--batch \(batch); expected 1 to \(BatchGenerator.largestSize)")
        }
    }
}
