public import Bytes
import Models

extension TrainingPlan {
    /// - Parameter place: the file, or the options that made it.
    /// - Throws: `CrayonError` for the first value that makes no sense.
    public func validate(in place: String = "plan") throws(CrayonError) {
        func require(
            _ holds: Bool, _ key: String, _ found: some CustomStringConvertible, _ expected: String
        ) throws(CrayonError) {
            guard !holds else { return }
            throw CrayonError(.usage, in: place, item: "key '\(key)'", found: "\(found)", expected: expected)
        }
        try require(
            !stage.isEmpty && stage.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-_".contains($0)) },
            "stage", "'\(stage)'", "letters, digits, '-' and '_'")
        try require(!learns.isEmpty, "learns", "nothing", "at least one part")
        try require(rate.isFinite && rate > 0, "rate", rate, "a positive number")
        try require(finalRate >= 0 && finalRate <= rate, "final_rate", finalRate, "0 to the rate, \(rate)")
        try validateParts(in: place)
        switch warmup {
        case .updates(let count): try require(count >= 0, "warmup_updates", count, "0 or more")
        case .ratio(let ratio): try require((0...1).contains(ratio), "warmup_ratio", ratio, "0 to 1")
        }
        try require(batchSize > 0 && batchSize <= 1 << 20, "batch_size", batchSize, "1 to \(1 << 20)")
        try require(
            sequences > 0 && sequences <= 1 << 30 && sequences % batchSize == 0, "sequences", sequences,
            "a multiple of the batch size, \(batchSize)")
        switch length {
        case .epochs(let epochs): try require(epochs.isFinite && epochs > 0, "epochs", epochs, "a positive number")
        case .updates(let count): try require(count > 0, "updates", count, "1 or more")
        }
        try require(maxLength ?? 2 > 1, "max_length", maxLength ?? 0, "2 or more")
        for (key, beta) in [("beta1", optimizer.beta1), ("beta2", optimizer.beta2)] {
            try require(beta >= 0 && beta < 1, key, beta, "0 or more and below 1")
        }
        // Smaller ones vanish beside the bias correction in float32.
        try require(
            optimizer.epsilon >= 1e-30 && optimizer.epsilon.isFinite, "epsilon", optimizer.epsilon, "1e-30 or more")
        try require(weightDecay.isFinite && weightDecay >= 0, "weight_decay", weightDecay, "0 or more")
        try require(clipNorm.map { $0.isFinite && $0 > 0 } ?? true, "clip_norm", clipNorm ?? 0, "a positive number")
        try require(dropout >= 0 && dropout < 1, "dropout", dropout, "0 or more and below 1")
        try require(recomputedBlocks >= 0, "recomputed_blocks", recomputedBlocks, "0 or more")
        try require(mostSkipped > 0, "most_skipped", mostSkipped, "1 or more")
        for (key, value) in [
            ("evaluate_every", evaluateEvery), ("sample_every", sampleEvery), ("checkpoint_every", checkpointEvery),
        ] {
            try require(value ?? 1 > 0, key, value ?? 0, "1 or more, or null for never")
        }
        try require(keptCheckpoints > 0, "kept_checkpoints", keptCheckpoints, "1 or more")
    }

    private func validateParts(in place: String) throws(CrayonError) {
        var seen: Set<LearnablePart> = []
        for (index, learning) in learns.enumerated() {
            func fail(_ key: String, _ found: String, _ expected: String) -> CrayonError {
                CrayonError(
                    .usage, in: place, item: "key 'learns[\(index)].\(key)'", found: found, expected: expected)
            }
            let part: LearnablePart
            do {
                part = try LearnablePart(learning.part)
            } catch {
                throw fail("part", error.found, error.expected ?? "")
            }
            guard seen.insert(part).inserted else { throw fail("part", "'\(learning.part)' again", "each part once") }
            let peak = learning.rate ?? rate
            let floor = learning.finalRate ?? min(finalRate, peak)
            guard peak.isFinite, peak > 0 else { throw fail("rate", "\(peak)", "a positive number") }
            guard floor >= 0, floor <= peak else { throw fail("final_rate", "\(floor)", "0 to \(peak)") }
            let decay = learning.weightDecay ?? weightDecay
            guard decay.isFinite, decay >= 0 else { throw fail("weight_decay", "\(decay)", "0 or more") }
        }
        let names = sets.map(\.name)
        if let twice = names.first(where: { name in names.count { $0 == name } > 1 }) {
            throw CrayonError(
                .usage, in: place, item: "key 'sets'", found: "'\(twice)' more than once", expected: "each set once")
        }
    }
}
