"""How long a training is: in steps, or in passes over the images that it is fitted on."""

from nuguide.training.recipe import Recipe


def in_steps(recipe: Recipe, n_images: int) -> Recipe:
    """Return the recipe with its epochs told in steps; as it is where it tells steps.

    Parameters
    ----------
    recipe : Recipe
        With ``epochs``, of which each sees every image ``views`` times.
    n_images : int
        Images that are fitted on.

    Returns
    -------
    Recipe
        Its ``steps`` are ``epochs`` times its ``epoch_steps``, of which the last may see some
        images once more, so that every batch is full.
    """
    if recipe.epochs is None:
        return recipe
    epoch_steps = -(-n_images * recipe.views // recipe.batch)
    return recipe.model_copy(
        update={"epoch_steps": epoch_steps, "steps": recipe.epochs * epoch_steps, "epochs": None}
    )
