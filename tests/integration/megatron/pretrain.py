# mypy: ignore-errors
"""Pretrain a tiny GPT on mock data with Megatron-Bridge: a script as people write it, but for its first import."""

import argparse
import sys

import cpu


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--save", required=True)
    parser.add_argument("--load")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--asynchronous", action="store_true")
    parser.add_argument("--most-recent-k", type=int, default=-1)
    parser.add_argument("--tensorboard-dir")
    parser.add_argument("--wandb-project")
    parser.add_argument("--wandb-exp-name")
    parser.add_argument("--lr", type=float, default=1e-3)
    options = parser.parse_args()

    cpu.import_bridge()
    from megatron.bridge.models.gpt_provider import GPTModelProvider, local_layer_spec
    from megatron.bridge.training import config
    from megatron.bridge.training.gpt_step import forward_step
    from megatron.bridge.training.pretrain import pretrain
    from megatron.bridge.training.tokenizers.config import TokenizerConfig

    unfused = ("gradient_accumulation_fusion", "bias_dropout_fusion", "masked_softmax_fusion", "bias_activation_fusion")
    recipe = config.ConfigContainer(
        train=config.TrainingConfig(
            micro_batch_size=1, global_batch_size=2, train_iters=options.steps, eval_interval=1000, eval_iters=0
        ),
        model=GPTModelProvider(
            **{"num_layers": 1, "hidden_size": 16, "num_attention_heads": 2, "ffn_hidden_size": 32},
            **{"seq_length": 8, "vocab_size": 128, "make_vocab_size_divisible_by": 1},
            **dict.fromkeys((*unfused, "persist_layer_norm"), False),
            transformer_layer_spec=local_layer_spec,
            attention_softmax_in_fp32=True,
        ),
        optimizer=config.OptimizerConfig(
            optimizer="adam", lr=options.lr, min_lr=1e-4, use_distributed_optimizer=False, clip_grad=0.0
        ),
        ddp=config.DistributedDataParallelConfig(use_distributed_optimizer=False, overlap_grad_reduce=False),
        scheduler=config.SchedulerConfig(
            **{"lr_decay_style": "constant", "lr_warmup_iters": 0, "lr_decay_iters": 100},
            **{"start_weight_decay": 0.0, "end_weight_decay": 0.0, "override_opt_param_scheduler": True},
        ),
        dataset=config.MockGPTDatasetConfig(
            **{"random_seed": 1, "seq_length": 8, "num_workers": 0, "num_dataset_builder_threads": 1},
            **{"reset_position_ids": False, "reset_attention_mask": False, "eod_mask_loss": False},
            **{"dataloader_type": "single", "skip_getting_attention_mask_from_dataset": True, "pin_memory": False},
        ),
        logger=config.LoggerConfig(
            **{"log_interval": 1, "tensorboard_dir": options.tensorboard_dir},
            **{"wandb_project": options.wandb_project, "wandb_exp_name": options.wandb_exp_name},
        ),
        tokenizer=TokenizerConfig(tokenizer_type="NullTokenizer", vocab_size=127),
        checkpoint=config.CheckpointConfig(
            **{"save": options.save, "load": options.load, "save_interval": 1, "ckpt_format": "torch_dist"},
            **{"async_save": options.asynchronous, "most_recent_k": options.most_recent_k},
        ),
        dist=config.DistributedInitConfig(distributed_backend="gloo", use_gloo_process_groups=True),
        rng=config.RNGConfig(seed=1),
    )
    pretrain(recipe, forward_step)
    sys.stdout.write("trained\n")  # in one piece: ranks share the pipe, and `print` writes the line end by itself


if __name__ == "__main__":
    main()
