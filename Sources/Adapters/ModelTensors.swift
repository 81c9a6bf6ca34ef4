import Architecture
import BundleFormat
import Checkpoints
import Tensors

/// The tensors of a model by role, without their numbers, and the paths of its modules as adapters name them.
struct ModelTensors {
    struct Entry {
        var name: String
        var type: ElementType
        var shape: Shape
    }

    private var entries: [Role: Entry] = [:]

    init(_ model: any ModelSource) {
        if let bundle = model as? BundleReader {
            for weight in bundle.manifest.weights {
                // Quantized pairs are given out as numbers.
                let isQuantized = weight.coding.isQuantized
                entries[weight.role] = Entry(
                    name: weight.sourceName, type: isQuantized ? .f32 : weight.coding.type,
                    shape: Shape(weight.coding.shape))
            }
        } else if let checkpoint = model as? CheckpointModel {
            for binding in checkpoint.bindings {
                entries[binding.role] = Entry(
                    name: binding.sourceName, type: binding.type, shape: binding.shape)
            }
        }
    }

    subscript(role: Role) -> Entry? { entries[role] }

    /// The path of the module whose weight plays a role.
    func path(of role: Role) -> String? {
        entries[role].map { entry in
            BaseWeight(name: entry.name, shape: entry.shape, type: entry.type, storage: .dense).module ?? entry.name
        }
    }
}
