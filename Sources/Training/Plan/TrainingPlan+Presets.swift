extension TrainingPlan {
    /// The stages of the paper (Lee et al. 2024, section 3 and appendix), and plain QLoRA.
    public enum Preset: String, CaseIterable, Sendable {
        /// Crayon prompt tuning: queries and both projectors.
        case cpt
        /// The first QLoRA set, for objects.
        case imageCIT = "image-cit"
        /// The second, for vision and language; the first acts and is frozen.
        case vlCIT = "vl-cit"
        /// One set on a text model, as Dettmers et al. 2023 have it for models of this size.
        case qlora
    }

    /// Ranks, rates, schedule and length are the paper's: rank and alpha 64, a cosine from 1e-4 to 1e-6 over one epoch, the
    /// activations of every block computed again.
    public init(_ preset: Preset) {
        func set(_ name: String) -> StageModel.FreshSet { StageModel.FreshSet(name: name) }
        switch preset {
        case .cpt:
            self.init(stage: preset.rawValue, learns: [.init("crayon"), .init("projectors")])
        case .imageCIT:
            self.init(stage: preset.rawValue, learns: [.init("adapters:object")])
            sets = [set("object")]
        case .vlCIT:
            self.init(stage: preset.rawValue, learns: [.init("adapters:vl")])
            sets = [set("vl")]
        case .qlora:
            self.init(stage: preset.rawValue, learns: [.init("adapters:qlora")])
            sets = [set("qlora")]
            (rate, finalRate, schedule) = (2e-4, 2e-4, .constant)
            warmup = .ratio(0.03)
            dropout = 0.1
            clipNorm = 0.3
            usesCrayon = false
        }
        (evaluateEvery, sampleEvery, checkpointEvery) = (500, 500, 500)
    }
}
