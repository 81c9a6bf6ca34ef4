public import Architecture
public import Bytes

extension TrainingSequence {
    /// What a probe records, to learn from.
    ///
    /// A probe's labels stand at spliced positions; at the patches of a picture there is nothing to say.
    /// - Throws: `CrayonError` for a probe without labels, or with one at a picture.
    public init(_ probe: Probe, for configuration: ModelConfiguration) throws(CrayonError) {
        guard let labels = probe.labels else {
            throw CrayonError(
                .missing, in: probe.place, item: "tensor 'labels'", found: "not in the probe",
                expected: "I64 [positions], \(TrainingSequence.ignored) where a position does not count")
        }
        let patches = configuration.vision?.patchCount ?? 1
        var own: [Int] = []
        var position = 0
        for token in probe.input.tokens {
            let isPicture = token == configuration.tokens.image
            let here = labels[position..<position + (isPicture ? patches : 1)]
            if isPicture, let label = here.first(where: { $0 != TrainingSequence.ignored }) {
                throw CrayonError(
                    .mismatch, in: probe.place, item: "tensor 'labels'",
                    found: "label \(label) at a patch of a picture", expected: "\(TrainingSequence.ignored) there")
            }
            own.append(here.first ?? TrainingSequence.ignored)
            position += here.count
        }
        self.init(input: probe.input, labels: own)
    }
}
