/// What transformers calls a LLaVA's modules, whatever its files call their tensors.
///
/// Transformers leaves those alone that it finds in a list, by names from the model's top on; files of LLaVA have older names.
enum LLaVAModules {
    /// - Parameters:
    ///   - modules: paths in the files that are to be left alone.
    ///   - kept: names of the weights that are not.
    /// - Returns: their paths in the model: of the vision tower and the projector as one where nothing of them is kept.
    static func names(of modules: [String], kept: Set<String>) -> [String] {
        var names: [String] = []
        for module in modules {
            var path = module.hasPrefix("model.") ? String(module.dropFirst("model.".count)) : module
            let older = "language_model.model."
            if path.hasPrefix(older) { path = "language_model." + path.dropFirst(older.count) }
            if let part = ["vision_tower", "multi_modal_projector"].first(where: { path.hasPrefix($0 + ".") }),
                !kept.contains(where: { $0.hasPrefix(part + ".") || $0.hasPrefix("model.\(part).") })
            {
                path = part
            }
            path = "model." + path.replacing(".vision_model.", with: ".(vision_model.)?")
            if !names.contains(path) { names.append(path) }
        }
        return names
    }
}
