import Bytes
import JSON

/// What `target_modules` or `exclude_modules` chooses.
enum ModuleSelection: Sendable {
    /// Every linear layer but the head.
    case allLinear
    /// Whole module paths, or their ends at a dot.
    case names(Set<String>)
    case pattern(ModulePattern)

    /// - Returns: nil when the key is absent or null.
    init?(_ reader: JSONReader, _ key: String) throws(CrayonError) {
        switch reader.object[key] {
        case nil, .null?: return nil
        // PEFT lowers the case of this word, and of no other.
        case .string(let text)? where text.lowercased() == "all-linear": self = .allLinear
        case .string(let text)?: self = .pattern(try ModulePattern(whole: text, in: reader, key: key))
        default: self = .names(Set(try reader.strings(key)))
        }
    }

    func contains(_ path: String) -> Bool {
        switch self {
        case .allLinear: true
        case .names(let names): Self.ends(of: path).contains { names.contains(String($0)) }
        case .pattern(let pattern): pattern.matches(path)
        }
    }

    /// The path itself, and what follows each of its dots.
    private static func ends(of path: String) -> [Substring] {
        var ends = [path[...]]
        var index = path.startIndex
        while let dot = path[index...].firstIndex(of: ".") {
            index = path.index(after: dot)
            ends.append(path[index...])
        }
        return ends
    }
}

/// `layers_to_transform` and `layers_pattern`: of the layers that a list of targets names, only these.
struct LayerSelection: Sendable {
    private let layers: Set<Int>
    /// Names of the container of layers, such as `h`; with none, whatever precedes the first number.
    private let containers: [ModulePattern]

    /// - Returns: nil where all layers are meant.
    init?(_ reader: JSONReader) throws(CrayonError) {
        let key = "layers_to_transform"
        switch reader.object[key] {
        case nil, .null?: return nil
        case .number?: layers = [try reader.int(key)]
        default: layers = Set(try reader.ints(key))
        }
        guard !layers.isEmpty else { return nil }
        var names: [String] = []
        switch reader.object["layers_pattern"] {
        case nil, .null?: break
        case .string(let name)?: names = name.isEmpty ? [] : [name]
        default: names = try reader.strings("layers_pattern")
        }
        var containers: [ModulePattern] = []
        for name in names {
            containers.append(
                try ModulePattern(whole: "(?:.*\\.)?(?:\(name))", item: "key 'layers_pattern'", place: reader.place))
        }
        self.containers = containers
    }

    func contains(_ path: String) -> Bool {
        let parts = path.split(separator: ".", omittingEmptySubsequences: false)
        // The first number counts, not that of an expert further in; something must follow it.
        for index in parts.indices.dropLast() where !parts[index].isEmpty {
            guard parts[index].utf8.allSatisfy({ $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }),
                let layer = Int(parts[index])
            else { continue }
            let before = parts[..<index].joined(separator: ".")
            if containers.isEmpty ? index >= 2 : containers.contains(where: { $0.matches(before) }) {
                return layers.contains(layer)
            }
        }
        return false
    }
}
