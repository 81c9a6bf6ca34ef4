import Architecture
import Bytes
import Checkpoints
import Images
import Quantization
import Tensors

extension GGUFPlan {
    /// CLIP and the image projector as llama.cpp's `mmproj` file of a LLaVA: architecture `clip`, projector `mlp`.
    ///
    /// LLaVA takes what the layer before the last gives; here the last layer's output is asked for by number.
    init(vision model: any ModelSource, options: GGUFExport.Options) throws(CrayonError) {
        self.init()
        let configuration = model.configuration
        guard let vision = configuration.vision else {
            throw CrayonError(
                .missing, in: model.place, found: "no vision tower", expected: "a model that looks at pictures")
        }
        guard options.leavesCrayonOut || configuration.crayon == nil else {
            throw CrayonError(
                .unsupported, in: model.place, item: "--mmproj",
                found: "a model that reads a crayon prompt"
                    + (configuration.lowRankSets.contains { $0.scope == .image }
                        ? " and has low-rank sets that act at image positions" : ""),
                expected: "one whose pictures are their patches alone: GGUF cannot say more",
                advice:
                    "With --without-crayon CLIP and the image projector are written, and llama.cpp runs the model without "
                    + "the rest.")
        }
        if configuration.crayon != nil {
            warnings.append("left out: the crayon queries and their projector; llama.cpp gives no crayon prompt")
        }
        if vision.activation == .gelu {
            warnings.append("llama.cpp computes the vision tower's GELU by its tanh approximation")
        }
        let preparation =
            switch vision.resize {
            case .squeeze: "where this model's are squeezed into a square"
            case .cropCentre: "where this model's are cut to a square"
            case .pad: "as this model's are"
            }
        warnings.append(
            "llama.cpp computes the projector's GELU by its tanh approximation, and prepares pictures in its own way: "
                + "resized with padding, \(preparation)")
        let type = options.type ?? .f16
        addGeneral(architecture: "clip", name: Self.name(of: model), type: type)
        addParameters(vision, width: configuration.backbone.hiddenSize)
        try addTower(vision, model, type)
        addProjector(configuration.backbone.hiddenSize, vision.width, type)
        warnOfFallbacks()
    }

    private mutating func addParameters(_ vision: VisionConfiguration, width: Int) {
        func add(_ key: String, _ value: Int) {
            metadata.append(("clip.vision.\(key)", .uint32(UInt32(clamping: value))))
        }
        metadata += [
            ("clip.has_vision_encoder", .bool(true)), ("clip.has_llava_projector", .bool(true)),
            ("clip.projector_type", .string("mlp")), ("clip.use_gelu", .bool(vision.activation == .gelu)),
        ]
        add("image_size", vision.imageSize)
        add("patch_size", vision.patchSize)
        add("embedding_length", vision.width)
        add("feed_forward_length", vision.intermediateSize)
        add("projection_dim", width)
        add("block_count", vision.usedLayerCount)
        add("attention.head_count", vision.headCount)
        metadata += [
            ("clip.vision.attention.layer_norm_epsilon", .float32(vision.normEpsilon)),
            ("clip.vision.feature_layer", .int32s([Int32(clamping: vision.usedLayerCount)])),
            ("clip.vision.image_mean", .float32s(vision.imageMean)),
            ("clip.vision.image_std", .float32s(vision.imageStd)),
        ]
    }

    private mutating func addTower(
        _ vision: VisionConfiguration, _ model: any ModelSource, _ type: GGMLType
    ) throws(CrayonError) {
        let width = vision.width
        add("v.class_embd", .classEmbedding, [width], .f32)
        // A convolution, whose rows are no matrix's.
        add(
            "v.patch_embd.weight", .patchEmbedding, [width, 3, vision.patchSize, vision.patchSize],
            type == .f32 ? .f32 : .f16)
        tensors.append(
            PlannedTensor(
                name: "v.position_embd.weight", type: .f32, shape: Shape([vision.patchCount + 1, width]),
                source: .values(try positions(vision, model))))
        for kind in ParameterKind.allCases {
            add("v.pre_ln.\(kind.rawValue)", .visionNorm("pre_norm", kind), [width], .f32)
        }
        let modules = [
            ("attention.q", "attn_q", width, width), ("attention.k", "attn_k", width, width),
            ("attention.v", "attn_v", width, width), ("attention.o", "attn_out", width, width),
            // The first of the two is called `down`, as LLaVA's converter has always done.
            ("mlp.fc1", "ffn_down", vision.intermediateSize, width),
            ("mlp.fc2", "ffn_up", width, vision.intermediateSize),
        ]
        for layer in 0..<vision.usedLayerCount {
            for (norm, name) in [("norm1", "ln1"), ("norm2", "ln2")] {
                for kind in ParameterKind.allCases {
                    add("v.blk.\(layer).\(name).\(kind.rawValue)", .vision(layer, norm, kind), [width], .f32)
                }
            }
            for (module, name, rows, columns) in modules {
                add(
                    "v.blk.\(layer).\(name).weight", .vision(layer, module, .weight), [rows, columns],
                    self.type(type, columns: columns))
                add("v.blk.\(layer).\(name).bias", .vision(layer, module, .bias), [rows], .f32)
            }
        }
    }

    private mutating func addProjector(_ hidden: Int, _ width: Int, _ type: GGMLType) {
        for (index, columns) in [(0, width), (2, hidden)] {
            add(
                "mm.\(index).weight", .projector(.image, index, .weight), [hidden, columns],
                self.type(type, columns: columns))
            add("mm.\(index).bias", .projector(.image, index, .bias), [hidden], .f32)
        }
    }

    private mutating func add(_ name: String, _ role: Role, _ dims: [Int], _ type: GGMLType) {
        tensors.append(PlannedTensor(name: name, type: type, shape: Shape(dims), source: .weight(role, rows: nil)))
    }

    /// The table for the size of picture that the model sees.
    private func positions(_ vision: VisionConfiguration, _ model: any ModelSource) throws(CrayonError) -> [Float] {
        guard let weight = try model.weight(.positionEmbedding) else {
            throw CrayonError(.missing, in: model.place, item: "weight '\(Role.positionEmbedding)'", found: "nothing")
        }
        let table = [Float](unsafeUninitializedCapacity: weight.shape.count) { buffer, count in
            if let start = buffer.baseAddress { weight.dequantize(elements: 0..<weight.shape.count, into: start) }
            count = weight.shape.count
        }
        if vision.positionRows == vision.patchCount + 1 { return table }
        let side = Int(Double(vision.positionRows - 1).squareRoot().rounded())
        return BicubicGrid.resizePositionTable(table, sourceSide: side, side: vision.gridSize, dim: vision.width)
    }
}
