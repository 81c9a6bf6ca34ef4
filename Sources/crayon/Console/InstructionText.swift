import CrayonKit

/// What `eval instructions --json` prints.
struct InstructionOutput: Encodable {
    var model: String
    var exact: Tally
    var followed: Tally
    var kinds: [InstructionScores.Kind]

    init(model: String, scores: InstructionScores) {
        self.model = model
        exact = scores.exact
        followed = scores.followed
        kinds = scores.kinds
    }
}

/// The same for a person.
enum InstructionText {
    static func render(_ scores: InstructionScores) -> String {
        func share(_ tally: Tally) -> String { tally.share.map(Format.percent) ?? "-" }
        let rows = scores.kinds.map { [$0.kind, "\($0.exact.asked)", share($0.exact), share($0.followed)] }
        let all = ["all", "\(scores.exact.asked)", share(scores.exact), share(scores.followed)]
        return Format.table(["kind", "asked", "exact", "followed"], rows + [all], rightAligned: [1, 2, 3])
    }
}
