import Adapters
import BundleFormat
import Bytes
import Tensors
import Testing

/// The numbers of a merge, against sums over every element in float64.
@Suite struct MergeReportTests {
    struct Way: CustomTestStringConvertible, Sendable {
        let name: String
        let method: MergedLayer.Method
        var into = MergeOptions.Target.source
        var rounding = MergeOptions.Rounding.keep
        var fromSource = false
        var testDescription: String { name }
    }

    static let ways = [
        Way(name: "keep", method: .kept), Way(name: "plain", method: .requantized, rounding: .plain),
        Way(name: "from source", method: .fromSource, fromSource: true), Way(name: "f16", method: .added, into: .f16),
        Way(name: "f32", method: .added, into: .f32),
    ]

    @Test(arguments: ways) func numbers(_ way: Way) throws {
        let folder = try TemporaryFolder()
        let bundle = try Merges.bundle(folder.file("base.crayon"))
        let source = try openBase(path: Merges.llama)
        // A delta that is small enough for 4 bits to lose it.
        var adapter = try openAdapter(Merges.style)
        for index in adapter.modules.indices { adapter.modules[index].alpha *= 0.05 }
        let options = MergeOptions(
            into: way.into, rounding: way.rounding, source: way.fromSource ? source : nil)
        let report = try Merges.merge(
            BundleBase(bundle), [(adapter, 1)], names: [Merges.style], to: folder.file("out.crayon"), options: options)
        // What is quantized in the end is the sum in 16 bits.
        let sums = way.fromSource ? folder.file("sums") : nil
        if let sums { try Merges.merge(source, [(adapter, 1)], to: sums) }
        let base = BundleBase(bundle)
        let output = try BundleReader(path: folder.file("out.crayon"))
        let merged = BundleBase(output)
        #expect(report.layers.count == adapter.modules.count && report.replaced.isEmpty)
        for module in adapter.modules {
            let layer = try #require(report.layers.first { $0.name == "\(module.path).weight" })
            #expect(layer.method == way.method)
            let delta = try Merges.delta(module)
            var before = try Merges.values(base, layer.name)
            // What a merge into the weight's former type adds to is what bitsandbytes gives back.
            if way.into == .f16 { before = Merges.half(before) }
            let after = try Merges.values(merged, layer.name)
            let goals = try sums.map { try Merges.values(openBase(path: $0), layer.name) }
            let origin = way.fromSource ? try Merges.values(source, layer.name) : before
            var (squared, along, error, target, norm, largest) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
            for index in delta.indices {
                let goal = goals.map { Double($0[index]) } ?? Double(origin[index]) + delta[index]
                let change = Double(after[index]) - Double(before[index])
                squared += delta[index] * delta[index]
                along += change * delta[index]
                error += (Double(after[index]) - goal) * (Double(after[index]) - goal)
                target += goal * goal
                norm += Double(origin[index]) * Double(origin[index])
                largest = max(largest, change.magnitude)
            }
            func agree(_ ours: Double, _ theirs: Double) -> Bool {
                (ours - theirs).magnitude < 1e-5 * max(theirs, 0.01)
            }
            #expect(agree(layer.deltaRatio, (squared / norm).squareRoot()), "\(layer)")
            #expect(agree(layer.retained, along / squared), "\(layer)")
            #expect(agree(layer.relativeError, (error / target).squareRoot()), "\(layer)")
            #expect(agree(layer.largestChange, largest), "\(layer)")
            // The bundle remembers them.
            let measures = try #require(output.manifest.history.last?.measures?[layer.name])
            #expect(measures["retained"] == layer.retained && measures["relativeError"] == layer.relativeError)
            #expect(measures["deltaRatio"] == layer.deltaRatio && measures["largestChange"] == layer.largestChange)
            #expect(measures["method"] == MergedLayer.Method.allCases.firstIndex(of: layer.method).map(Double.init))
        }
        let step = try #require(output.manifest.history.last)
        #expect(step.kind == "merge" && step.options["into"] == way.into.rawValue)
        #expect(step.options["adapters"] == "style" && step.sources.map(\.name) == ["style"])
        #expect(output.manifest.history.count == bundle.manifest.history.count + 1)
        // All else lies as it lay.
        let old = Merges.tensors(bundle.safetensors)
        let new = Merges.tensors(output.safetensors)
        for entry in bundle.manifest.weights where !report.layers.contains(where: { $0.name == entry.sourceName }) {
            for component in entry.coding.components {
                let name = entry.name + component.suffix
                #expect(old[name] != nil && old[name] == new[name], "\(name)")
            }
        }
    }

    /// What little of a small delta plain rounding retains is said, and can be refused.
    @Test func lossIsSaid() throws {
        let folder = try TemporaryFolder()
        _ = try Merges.bundle(folder.file("base.crayon"))
        func report(_ rounding: MergeOptions.Rounding) throws -> MergeReport {
            try Merges.merge(
                folder.file("base.crayon"), [Merges.style + "=0.02"], to: folder.file("\(rounding).crayon"),
                options: MergeOptions(rounding: rounding))
        }
        let plain = try report(.plain)
        #expect((plain.lowestRetention?.retained ?? 1) < 0.5)
        #expect(plain.warnings.contains { $0.contains("retain less than half of their delta") })
        let kept = try report(.keep)
        #expect((kept.lowestRetention?.retained ?? 0) > 0.8)
        #expect(!kept.warnings.contains { $0.contains("retain less") })
    }
}
