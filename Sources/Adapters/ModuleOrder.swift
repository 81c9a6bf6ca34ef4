/// The order of module paths, numbers counting as such: layer 2 before layer 10.
enum ModuleOrder {
    static func precedes(_ left: String, _ right: String) -> Bool {
        let left = left.split(separator: ".", omittingEmptySubsequences: false)
        let right = right.split(separator: ".", omittingEmptySubsequences: false)
        for (a, b) in zip(left, right) where a != b {
            if let x = Int(a), let y = Int(b), x != y { return x < y }
            return a < b
        }
        return left.count < right.count
    }

    /// The path with each number replaced, and the first number: what is the same module in every layer.
    static func template(_ path: String) -> (template: String, layer: Int?) {
        var layer: Int?
        let parts = path.split(separator: ".", omittingEmptySubsequences: false).map { part -> Substring in
            guard let number = Int(part) else { return part }
            if layer == nil { layer = number }
            return "{n}"
        }
        return (parts.joined(separator: "."), layer)
    }
}
