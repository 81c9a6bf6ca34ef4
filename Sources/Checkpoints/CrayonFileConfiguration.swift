import Architecture
import Bytes
import JSON

/// What `crayon_config.json` beside a checkpoint says that the published files do not. Every key is optional.
struct CrayonFileConfiguration {
    static let fileName = "crayon_config.json"

    var place: String
    var imageSize: Int?
    /// `crayon_input`.
    var entry: CrayonConfiguration.Entry?
    var categories: [PanopticCategory]?
    var imageMean: [Float]?
    var imageStd: [Float]?
    var gridSampling: CrayonConfiguration.GridSampling?
    var promptTemplate: PromptTemplate?

    init(_ reader: JSONReader) throws(CrayonError) {
        place = reader.place
        imageSize = try reader.optionalExtent("image_size", limit: 1 << 16)
        entry = try Self.choice(reader, "crayon_input")
        gridSampling = try Self.choice(reader, "grid_sampling")
        imageMean = try Self.channels(reader, "image_mean")
        imageStd = try Self.channels(reader, "image_std")
        if try reader.optionalArray("categories") != nil {
            var categories: [PanopticCategory] = []
            for category in try reader.objects("categories") {
                categories.append(
                    PanopticCategory(
                        id: try category.int("id"), name: try category.string("name"),
                        isThing: try Self.flag(category, "isthing") ?? true))
            }
            self.categories = categories
        }
        if let template = try reader.optionalObject("prompt_template") {
            promptTemplate = PromptTemplate(
                name: try template.optionalString("name") ?? "custom",
                begin: try template.optionalString("begin") ?? "",
                image: try template.optionalString("image") ?? "<image>",
                objects: try template.optionalString("objects") ?? "", user: try template.string("user"),
                assistant: try template.string("assistant"), answer: try template.string("answer"),
                stop: try template.optionalArray("stop") == nil ? [] : template.strings("stop"))
        }
    }

    /// `image_mean` and `image_std` of this file or of `preprocessor_config.json`.
    static func channels(_ reader: JSONReader, _ key: String) throws(CrayonError) -> [Float]? {
        guard try reader.optionalArray(key) != nil else { return nil }
        let values = try reader.doubles(key)
        guard values.count == 3, values.allSatisfy({ $0.isFinite && (key != "image_std" || $0 > 0) }) else {
            throw CrayonError(
                .malformed, in: reader.place, item: "key '\(key)'", found: "\(values)",
                expected: "three numbers, one for each channel")
        }
        return values.map { Float($0) }
    }

    private static func choice<T: RawRepresentable & CaseNamed>(
        _ reader: JSONReader, _ key: String
    ) throws(CrayonError) -> T? where T.RawValue == String {
        guard let text = try reader.optionalString(key) else { return nil }
        guard let value = T(rawValue: text) else {
            throw CrayonError(
                .malformed, in: reader.place, item: "key '\(key)'", found: "'\(text)'", expected: T.names)
        }
        return value
    }

    /// COCO writes 0 and 1.
    private static func flag(_ reader: JSONReader, _ key: String) throws(CrayonError) -> Bool? {
        if case .number? = reader.object[key] { return try reader.int(key) != 0 }
        return try reader.optionalBool(key)
    }
}

/// The values of a choice, in an error's words.
protocol CaseNamed {
    static var names: String { get }
}

extension CrayonConfiguration.Entry: CaseNamed {
    static var names: String { "'additive' or 'low-rank'" }
}

extension CrayonConfiguration.GridSampling: CaseNamed {
    static var names: String { "'corner' or 'centre'" }
}
