import Architecture
import Bytes
import Checkpoints
import Foundation
import JSON
import Kernels
import Models
import Tensors
import Testing
import Training

/// Updates against PyTorch's and bitsandbytes', step by step; see `Scripts/reference/optimizer_fixture.py`.
@Suite struct OptimizerTests {
    @Test(arguments: ["torch", "torch_plain", "small", "blockwise"])
    func updates(name: String) throws {
        let settings = try Fixtures.settings(of: name)
        let start = try Fixtures.floats("\(name).start")
        let gradients = try Fixtures.floats("\(name).gradients")
        let values = try Fixtures.floats("\(name).values")
        let library = try Fixtures.floats("\(name).mkl_values")
        let count = start.count
        let learned = LearnedTensors.one(start)
        let tensor = learned.tensors[0]
        let optimizer = AdamW(learned, settings: settings.adamW)
        let rates = try Fixtures.doubles("\(name).rates")
        var differing = 0
        for (step, rate) in rates.enumerated() {
            let run = step * count..<(step + 1) * count
            tensor.gradient.pointer.update(from: Array(gradients[run]), count: count)
            optimizer.update(rates: [rate], decays: [settings.decay])
            let now = tensor.value.values
            #expect(now.map(\.bitPattern) == values[run].map(\.bitPattern), "step \(step)")
            // With MKL's roots a parameter may be one unit in the last place off, a step.
            for (mine, theirs) in zip(now, library[run]) {
                let bound = Float(step + 1) * max(mine.ulp, Float(rate) * 0x1p-21)
                #expect((mine - theirs).magnitude <= bound)
                if mine != theirs { differing += 1 }
            }
        }
        #expect(differing <= values.count / 10)
        for state in optimizer.states {
            let recorded = try Fixtures.tensor("\(name).\(state.part)")
            #expect(state.tensor.region.array == recorded.region.array, "\(state.part)")
        }
        #expect(optimizer.updates == rates.count)
    }

    /// The number of threads, and which instructions: nothing that a result hangs on.
    @Test func threadsDoNotMatter() {
        func run(_ threads: Int, _ states: AdamWSettings.States) -> [Float] {
            let before = Parallel.threadCount
            Parallel.threadCount = threads
            defer { Parallel.threadCount = before }
            let learned = LearnedTensors.one((0..<200_000).map { sin(Float($0)) })
            let optimizer = AdamW(learned, settings: AdamWSettings(states: states))
            for step in 0..<3 {
                let gradient = (0..<200_000).map { cos(Float($0 + step)) }
                learned.tensors[0].gradient.pointer.update(from: gradient, count: gradient.count)
                let norm = GradientNorm.of(learned)
                optimizer.update(
                    gradientScale: GradientNorm.clipping(norm, to: 1), rates: [1e-3], decays: [0.01])
            }
            return learned.tensors[0].value.values
        }
        for states in AdamWSettings.States.allCases { #expect(run(1, states) == run(5, states)) }
    }

    @Test func bytes() {
        let learned = LearnedTensors.one([Float](repeating: 0, count: 8192))
        #expect(AdamW(learned).byteCount == 8 * 8192)
        #expect(AdamW(learned, settings: .init(states: .blockwise8)).byteCount == 2 * 8192 + 2 * 32 * 4)
    }

    @Test func clipping() throws {
        let gradients = try (0..<3).map { try Fixtures.floats("clipping.gradient\($0)") }
        let learned = LearnedTensors(
            gradients.enumerated().map { index, values in
                let tensor = LearnedTensor(
                    role: Role("t\(index)"), shape: Shape([values.count]), value: Matrix(rows: 1, columns: values.count)
                )
                tensor.gradient.pointer.update(from: values, count: values.count)
                return tensor
            })
        let norm = GradientNorm.of(learned)
        #expect(try (norm - Double(Fixtures.floats("clipping.norm")[0])).magnitude <= 1e-6 * norm)
        let factor = Float(GradientNorm.clipping(norm, to: 1.5))
        for (index, values) in gradients.enumerated() {
            for (value, clipped) in zip(values, try Fixtures.floats("clipping.clipped\(index)")) {
                #expect((value * factor - clipped).magnitude <= clipped.magnitude * 2e-7)
            }
        }
        #expect(GradientNorm.clipping(0.5, to: 1) == 1)
        #expect(GradientNorm.clipping(0, to: 1) == 1)
        #expect(GradientNorm.firstNotFinite(in: learned) == nil)
        learned.tensors[1].gradient.pointer[299] = .nan
        learned.tensors[2].gradient.pointer[0] = .infinity
        #expect(!GradientNorm.of(learned).isFinite)
        #expect(GradientNorm.firstNotFinite(in: learned) == Role("t1"))
    }
}

/// Rates against PyTorch's and transformers'.
@Suite struct ScheduleTests {
    @Test(arguments: [
        ("cosine_annealing", Schedule(.cosine, updates: 40), 1e-6, 1e-15),
        // The one that goes from rate to rate gathers rounding errors.
        ("cosine_annealing_recursive", Schedule(.cosine, updates: 40), 1e-6, 1e-12),
        ("cosine_min_lr_warmup", Schedule(.cosine, warmup: 5, updates: 40), 1e-6, 1e-15),
        ("cosine_warmup", Schedule(.cosine, warmup: 5, updates: 40), 0, 1e-15),
        ("linear_warmup", Schedule(.linear, warmup: 4, updates: 40), 0, 1e-15),
        ("constant_warmup", Schedule(.constant, warmup: 7, updates: 40), 0, 1e-15),
    ])
    func recorded(name: String, schedule: Schedule, floor: Double, tolerance: Double) throws {
        let rates = try Fixtures.schedules.doubles(name)
        #expect(rates.count >= 40)
        for (update, rate) in rates.enumerated() {
            let mine = schedule.rate(at: update, peak: 1e-4, floor: floor)
            #expect((mine - rate).magnitude <= tolerance * 1e-4 + tolerance * rate, "update \(update)")
        }
    }

    @Test func edges() {
        #expect(Schedule(.cosine, updates: 0).rate(at: 0, peak: 1, floor: 0.5) == 1)
        #expect(Schedule(.cosine, updates: 10).rate(at: 99, peak: 1, floor: 0.5) == 0.5)
        #expect(Schedule(.linear, warmup: 10, updates: 10).rate(at: 5, peak: 1, floor: 0) == 0.5)
        #expect(Schedule(.constant, updates: 10).rate(at: 99, peak: 1, floor: 0) == 1)
    }
}
