"""A small classifier of handwritten digits, by mini-batch gradient descent. It has never heard of W&B."""

import argparse

from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, default=0.01)
    options = parser.parse_args()

    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(images / 16.0, labels, test_size=0.25, random_state=0)
    train_images, test_images, train_labels, test_labels = parts
    model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=options.lr, random_state=0)
    for epoch in range(1, options.epochs + 1):
        model.partial_fit(train_images, train_labels, classes=range(10))
        print(f"epoch {epoch:2d}  test accuracy {model.score(test_images, test_labels):.4f}")


if __name__ == "__main__":
    main()
