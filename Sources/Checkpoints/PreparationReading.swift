import Architecture
import Bytes
import JSON

extension OpenedParts {
    /// `preprocessor_config.json`, or what transformers 5 has in its place: `image_processor` in `processor_config.json`.
    func preprocessor(_ part: OpenedSource) throws(CrayonError) -> JSONReader? {
        if let file = try part.reader("preprocessor_config.json") { return file }
        return try part.reader("processor_config.json")?.optionalObject("image_processor")
    }

    /// How pictures are made square: LLaVA's `do_pad`. Settings that Crayon does not follow are reported.
    mutating func readPreparation(
        _ preprocessor: JSONReader, _ vision: inout VisionConfiguration
    ) throws(CrayonError) {
        let pads = try preprocessor.optionalBool("do_pad") == true
        guard vision.resize != .squeeze else {
            if pads {
                warnings.append(
                    "\(preprocessor.place): pictures are to be padded to a square; Crayon squeezes them into one")
            }
            return
        }
        if pads { vision.resize = .pad }
        for key in ["do_resize", "do_center_crop", "do_rescale", "do_normalize"] {
            // What is padded is a square already.
            if pads, key == "do_center_crop" { continue }
            if try preprocessor.optionalBool(key) == false {
                warnings.append("\(preprocessor.place): '\(key)' is false; Crayon does it all the same")
            }
        }
        // Pillow's numbers; 3 is bicubic.
        if let filter = try preprocessor.optionalInt("resample"), filter != 3 {
            warnings.append(
                "\(preprocessor.place): 'resample' is \(filter); Crayon scales by Pillow's bicubic filter, 3")
        }
        for key in ["size", "crop_size"] {
            for (name, value) in Self.sides(preprocessor.object[key]) where value != vision.imageSize {
                warnings.append(
                    "\(preprocessor.place): '\(key)\(name)' is \(value); the model sees \(vision.imageSize) x "
                        + "\(vision.imageSize) pixels")
            }
        }
    }

    /// `336`, `{"shortest_edge": 336}` or `{"height": 336, "width": 336}`
    private static func sides(_ value: JSONValue?) -> [(name: String, value: Int)] {
        switch value {
        case .number(let number): number.int.map { [("", $0)] } ?? []
        case .object(let object):
            ["shortest_edge", "height", "width"].compactMap { name in
                guard case .number(let number)? = object[name], let side = number.int else { return nil }
                return (".\(name)", side)
            }
        default: []
        }
    }
}
