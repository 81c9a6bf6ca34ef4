public import Architecture

extension PanopticCategory {
    /// The name in prompts: without COCO's `-merged`, `-other` and `-stuff`.
    public var promptName: String {
        var name = name
        for suffix in ["-merged", "-other", "-stuff"] { name.replace(suffix, with: "") }
        return name
    }
}
